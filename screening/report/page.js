"use strict";
// Draws the plot and the 3-D view, sorts and filters the table, and keeps one candidate selected everywhere.
// Text from the data is set as text, and escaped where plotly reads a string as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byPlace = new Map(data.candidates.map((candidate) => [candidate.place, candidate]));
  const one = (query) => document.querySelector(query);
  const all = (query) => [...document.querySelectorAll(query)];
  const plot = one("#plot"), viewer = one("#viewer"), table = one("#ranking");
  const quietly = { displayModeBar: false, responsive: true, showTips: false };
  let selected = null;

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const markup = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const font = () => ({ family: getComputedStyle(document.body).fontFamily, size: 12, color: style("--ink") });

  // ---- plot: two properties against each other ------------------------------------------------------------

  function axis(name, values, room) {
    let title = data.labels[name];
    const wish = data.wanted[name] === "max" ? " · more is better" : " · less is better";
    if (data.wanted[name] && (title + wish).length * 7 < room) title += wish; // about 7 px a letter
    const positive = values.filter((value) => value > 0);
    const wide = positive.length === values.length && Math.max(...values) / Math.min(...values) > 30;
    return {
      title: { text: markup(title), standoff: 8 }, type: wide ? "log" : "linear", automargin: true,
      ...(wide ? { dtick: 1 } : {}), exponentformat: "power", gridcolor: style("--line"), linecolor: style("--quiet"), zeroline: false, ticks: "outside", tickcolor: style("--line"),
    };
  }

  function drawPlot() {
    const x = one("#axis-x").value, y = one("#axis-y").value;
    const shown = data.candidates.filter((candidate) => candidate.values[x] && candidate.values[y]);
    const group = (members, name, colour, symbol) => ({
      type: "scatter", mode: "markers", name, customdata: members.map((c) => c.place),
      x: members.map((c) => c.values[x][0]), y: members.map((c) => c.values[y][0]),
      error_x: bars(members, x, colour), error_y: bars(members, y, colour),
      marker: {
        color: colour, symbol, size: members.map((c) => (c.place === selected ? 16 : 9)),
        line: { color: members.map((c) => (c.place === selected ? style("--ink") : style("--paper"))), width: members.map((c) => (c.place === selected ? 2.5 : 1)) },
      },
      text: members.map((c) => markup(`${c.place}. ${c.name} ${c.id}`)),
      hovertemplate: "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
    });
    const traces = [
      group(shown.filter((c) => c.front !== 1), "dominated", style("--leaf"), "circle"),
      group(shown.filter((c) => c.front === 1), "Pareto front (all objectives)", style("--berry"), "diamond"),
    ];
    Plotly.react(plot, traces, {
      xaxis: axis(x, shown.map((c) => c.values[x][0]), plot.clientWidth), yaxis: axis(y, shown.map((c) => c.values[y][0]), plot.clientHeight - 60), font: font(),
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 50, r: 10, t: 8, b: 40 },
      hovermode: "closest", legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, dragmode: false,
      hoverlabel: { bgcolor: style("--card"), bordercolor: style("--line"), font: { color: style("--ink") } },
    }, quietly);
  }

  function bars(members, name, colour) {
    return {
      type: "data", symmetric: false, thickness: 1, width: 0, color: colour,
      array: members.map((c) => c.values[name][2]), arrayminus: members.map((c) => c.values[name][1]),
    };
  }

  // ---- viewer: balls, half-bonds and the cell as meshes ----------------------------------------------------

  // A ball of unit radius: an octahedron whose faces are split and pushed outwards.
  function unitBall(rounds) {
    let points = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]];
    let faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]];
    for (let round = 0; round < rounds; round++) {
      const known = new Map();
      const middle = (i, j) => {
        const key = i < j ? `${i},${j}` : `${j},${i}`;
        if (!known.has(key)) {
          const sum = points[i].map((value, k) => value + points[j][k]), length = Math.hypot(...sum);
          known.set(key, points.push(sum.map((value) => value / length)) - 1);
        }
        return known.get(key);
      };
      faces = faces.flatMap(([i, j, k]) => {
        const a = middle(i, j), b = middle(j, k), c = middle(k, i);
        return [[i, a, c], [a, j, b], [c, b, k], [a, b, c]];
      });
    }
    return { points, faces };
  }

  function emptyMesh(colour) {
    return {
      type: "mesh3d", x: [], y: [], z: [], i: [], j: [], k: [], color: colour, hoverinfo: "skip", flatshading: false,
      lighting: { ambient: 0.82, diffuse: 0.42, specular: 0.12, roughness: 0.6, fresnel: 0.04 },
      lightposition: { x: 2000, y: 4000, z: 8000 },
    };
  }

  function addShape(mesh, points, faces) {
    const first = mesh.x.length;
    for (const point of points) { mesh.x.push(point[0]); mesh.y.push(point[1]); mesh.z.push(point[2]); }
    for (const face of faces) { mesh.i.push(first + face[0]); mesh.j.push(first + face[1]); mesh.k.push(first + face[2]); }
  }

  const SIDES = 7, BOND_RADIUS = 0.11; // Å
  function addRod(mesh, start, along) {
    const length = Math.hypot(...along), axis = along.map((value) => value / length);
    const other = Math.abs(axis[2]) < 0.9 ? [0, 0, 1] : [1, 0, 0];
    const u = cross(axis, other), size = Math.hypot(...u), v = cross(axis, u.map((value) => value / size));
    const points = [], faces = [];
    for (let side = 0; side < SIDES; side++) {
      const angle = (2 * Math.PI * side) / SIDES;
      const out = [0, 1, 2].map((k) => BOND_RADIUS * ((Math.cos(angle) * u[k]) / size + Math.sin(angle) * v[k]));
      points.push(start.map((value, k) => value + out[k]), start.map((value, k) => value + along[k] + out[k]));
      const a = 2 * side, b = 2 * ((side + 1) % SIDES);
      faces.push([a, b, a + 1], [b, b + 1, a + 1]);
    }
    addShape(mesh, points, faces);
  }

  const cross = (p, q) => [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];

  function traces(scene) {
    const ball = unitBall(scene.atoms.length > 400 ? 1 : 2);
    const meshes = scene.elements.map((element) => emptyMesh(element[1]));
    for (const [kind, ...centre] of scene.atoms) {
      const radius = scene.elements[kind][2];
      addShape(meshes[kind], ball.points.map((point) => point.map((value, k) => centre[k] + radius * value)), ball.faces);
    }
    for (const [atom, ...along] of scene.halves) addRod(meshes[scene.atoms[atom][0]], scene.atoms[atom].slice(1), along);
    const labels = {
      type: "scatter3d", mode: "markers", marker: { size: 9, opacity: 0, color: style("--quiet") }, hoverinfo: "text",
      x: scene.atoms.map((a) => a[1]), y: scene.atoms.map((a) => a[2]), z: scene.atoms.map((a) => a[3]),
      text: scene.atoms.map((a) => markup(`${scene.elements[a[0]][0]} (${a.slice(1).map((r) => r.toFixed(2)).join(", ")}) Å`)),
    };
    return [...meshes, cellLines(scene.cell), cellNames(scene.cell), labels];
  }

  function cellLines(cell) {
    const at = (f) => [0, 1, 2].map((k) => f[0] * cell[0][k] + f[1] * cell[1][k] + f[2] * cell[2][k]);
    const line = { type: "scatter3d", mode: "lines", x: [], y: [], z: [], hoverinfo: "skip", line: { color: style("--quiet"), width: 2 } };
    for (let side = 0; side < 3; side++) {
      for (const [p, q] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
        const from = [0, 0, 0], others = [0, 1, 2].filter((k) => k !== side);
        from[others[0]] = p; from[others[1]] = q;
        const to = [...from];
        to[side] = 1;
        for (const point of [at(from), at(to)]) { line.x.push(point[0]); line.y.push(point[1]); line.z.push(point[2]); }
        line.x.push(null); line.y.push(null); line.z.push(null);
      }
    }
    return line;
  }

  function cellNames(cell) {
    const ends = cell.map((vector) => vector.map((value) => value + (0.9 * value) / Math.hypot(...vector)));
    return {
      type: "scatter3d", mode: "text", text: ["a", "b", "c"], hoverinfo: "skip", textfont: { color: style("--quiet"), size: 14 },
      x: ends.map((e) => e[0]), y: ends.map((e) => e[1]), z: ends.map((e) => e[2]),
    };
  }

  const unit = (vector) => vector.map((value) => value / Math.hypot(...vector));
  const point = ([x, y, z]) => ({ x, y, z });
  const FILL = 2.75; // of the panel, tuned by eye; plotly's parallel projection is sized by the aspect ratio alone

  // Looking along a cell vector towards the origin, the next one upright; `tilt` leaves the axis a little.
  function camera(cell, along, tilt) {
    const forward = unit(cell[along]), up = unit(cell[(along + 2) % 3]), right = unit(cross(up, forward));
    const eye = unit(forward.map((value, k) => value + tilt * (0.28 * right[k] + 0.2 * up[k])));
    return { eye: point(eye.map((value) => 2 * value)), up: point(up), center: point([0, 0, 0]), projection: { type: "orthographic" } };
  }

  function extent(drawn, axis) {
    let low = Infinity, high = -Infinity;
    for (const trace of drawn) {
      for (const value of trace[axis]) {
        if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
      }
    }
    return [low, high];
  }

  function drawViewer() {
    const scene = byPlace.get(selected)?.scene;
    viewer.hidden = !scene;
    one("#no-scene").hidden = Boolean(scene);
    one(".tools").hidden = !scene;
    one("#legend").replaceChildren(...(scene?.elements ?? []).map(([symbol, colour, , count]) => {
      const item = document.createElement("li"), dot = document.createElement("i");
      dot.style.background = colour;
      item.append(dot, `${symbol} ${count}`);
      return item;
    }));
    if (!scene) return;
    viewer.setAttribute("aria-label", `Unit cell of ${byPlace.get(selected).name}`);
    const lengths = scene.cell.map((vector) => Math.hypot(...vector));
    const drawn = traces(scene);
    const spans = ["x", "y", "z"].map((axis) => extent(drawn, axis));
    const sizes = spans.map(([low, high]) => high - low), diagonal = Math.hypot(...sizes);
    const hidden = (k) => ({ visible: false, range: spans[k] });
    Plotly.react(viewer, drawn, {
      margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", showlegend: false, font: font(), uirevision: selected,
      scene: {
        xaxis: hidden(0), yaxis: hidden(1), zaxis: hidden(2), dragmode: "orbit",
        aspectmode: "manual", aspectratio: point(sizes.map((size) => (FILL * size) / diagonal)),
        camera: camera(scene.cell, lengths.indexOf(Math.min(...lengths)), 1),
      },
      hoverlabel: { bgcolor: style("--card"), bordercolor: style("--line"), font: { color: style("--ink") } },
    }, { ...quietly, scrollZoom: false });
  }

  function turn(degrees) {
    const { eye, up } = viewer.layout.scene.camera, angle = (degrees * Math.PI) / 180;
    const axis = unit([up.x, up.y, up.z]), e = [eye.x, eye.y, eye.z], side = cross(axis, e);
    const along = axis.reduce((sum, value, k) => sum + value * e[k], 0);
    const turned = e.map((value, k) => value * Math.cos(angle) + side[k] * Math.sin(angle) + axis[k] * along * (1 - Math.cos(angle)));
    Plotly.relayout(viewer, { "scene.camera.eye": point(turned) }); // Rodrigues' rotation about "up"
  }

  function zoom(factor) {
    const { x, y, z } = viewer.layout.scene.aspectratio;
    Plotly.relayout(viewer, { "scene.aspectratio": { x: x * factor, y: y * factor, z: z * factor } });
  }

  // ---- selection, sorting, finding -------------------------------------------------------------------------

  function select(place, look) {
    if (!byPlace.has(place)) return;
    selected = place;
    for (const element of all("[data-place]")) element.classList.toggle("selected", Number(element.dataset.place) === place);
    drawViewer();
    drawPlot();
    const right = one(".right");
    right.scrollTop = 0;
    if (look && right.getBoundingClientRect().top > window.innerHeight - 120) right.scrollIntoView();
    if (look && right.getBoundingClientRect().bottom < 120) right.scrollIntoView();
  }

  function sortBy(head) {
    const column = Number(head.querySelector("button").dataset.column);
    const upward = head.getAttribute("aria-sort") === "descending" || (head.getAttribute("aria-sort") === "none" && column < 2);
    for (const other of table.querySelectorAll("thead th")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", upward ? "ascending" : "descending");
    const body = table.tBodies[0];
    const value = (row) => row.cells[column].dataset.value;
    const ordered = [...body.rows].sort((p, q) => {
      const a = value(p), b = value(q);
      if (a === "" || b === "") return (a === "") - (b === ""); // what was not measured stays below
      const order = column === 1 ? a.localeCompare(b) : Number(a) - Number(b);
      return upward ? order : -order;
    });
    body.append(...ordered);
  }

  function find() {
    const words = one("#find").value.toLowerCase().split(/\s+/).filter(Boolean), only = one("#only-front").checked;
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word)) || (only && !row.classList.contains("front"));
      shown += row.hidden ? 0 : 1;
    }
    one("#shown").textContent = `${shown} shown`;
  }

  for (const head of table.querySelectorAll("thead th")) head.querySelector("button").addEventListener("click", () => sortBy(head));
  for (const row of table.tBodies[0].rows) {
    row.addEventListener("click", (event) => { event.preventDefault(); select(Number(row.dataset.place), true); });
  }
  for (const link of all("a[data-place]")) {
    link.addEventListener("click", (event) => { event.preventDefault(); select(Number(link.dataset.place), true); });
  }
  one("#find").addEventListener("input", find);
  one("#only-front").addEventListener("change", find);
  one("#all-columns").addEventListener("change", (event) => table.classList.toggle("wide", event.target.checked));
  for (const choice of all("#axis-x, #axis-y")) choice.addEventListener("change", drawPlot);
  for (const button of all("[data-turn]")) button.addEventListener("click", () => turn(Number(button.dataset.turn)));
  for (const button of all("[data-zoom]")) button.addEventListener("click", () => zoom(Number(button.dataset.zoom)));
  for (const button of all("[data-view]")) {
    const along = "abc".indexOf(button.dataset.view);
    button.addEventListener("click", () => Plotly.relayout(viewer, { "scene.camera": camera(byPlace.get(selected).scene.cell, along, 0) }));
  }

  if (data.candidates.length) {
    select(data.candidates[0].place, false);
    plot.on("plotly_click", (event) => select(event.points[0].customdata, true));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawViewer(); drawPlot(); });
  } else {
    for (const element of all(".explorer")) element.remove();
  }
  document.documentElement.classList.add("ready");
})();
