#include "pair_sorbus.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "json.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <fstream>
#include <unordered_map>

using namespace LAMMPS_NS;

namespace {

constexpr int EXPORT_VERSION = 1;  // of export.json, potentials/exported_potential.py
constexpr int MIN_SIZE = 2;        // programs are made for two atoms and two slots, or more

struct Description {
  double cutoff;
  int layers;
  std::string device;
  std::vector<std::string> species;
};

Description read_description(const std::string &path)
{
  std::ifstream file(path);
  if (!file) throw std::runtime_error("there is no such file");
  const json read = json::parse(file);
  if (read.at("export_version").get<int>() != EXPORT_VERSION)
    throw std::runtime_error("it has another export version: export again");
  return {read.at("cutoff").get<double>(), read.at("layers").get<int>(), read.at("device").get<std::string>(),
          read.at("species").get<std::vector<std::string>>()};
}

}  // namespace

PairSorbus::PairSorbus(LAMMPS *lmp) : Pair(lmp)
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;  // on one process forces go to the owners at once, and f . r of ghosts says nothing
  centroidstressflag = CENTROID_NOTAVAIL;
}

PairSorbus::~PairSorbus()
{
  if (copymode || !allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
  memory->destroy(cutghost);
}

void PairSorbus::allocate()
{
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  memory->create(cutghost, n, n, "pair:cutghost");
  for (int i = 0; i < n; i++) std::fill(setflag[i], setflag[i] + n, 0);
}

void PairSorbus::settings(int narg, char **)
{
  if (narg != 0) error->all(FLERR, "pair_style sorbus takes no arguments: the folder goes to pair_coeff");
}

// pair_coeff * * FOLDER SYMBOL SYMBOL ...: one chemical symbol an atom type
void PairSorbus::coeff(int narg, char **arg)
{
  const int ntypes = atom->ntypes;
  if (narg < 3 || std::strcmp(arg[0], "*") != 0 || std::strcmp(arg[1], "*") != 0)
    error->all(FLERR, "write pair_coeff * * FOLDER SYMBOLS: the folder of an exported potential, a symbol a type");
  if (narg != 3 + ntypes)
    error->all(FLERR, "pair_coeff of sorbus names {} elements for {} atom types: one symbol a type", narg - 3, ntypes);
  const std::string folder = arg[2];
  Description described;
  try {
    described = read_description(folder + "/export.json");
  } catch (const std::exception &problem) {
    error->all(FLERR, "cannot read {}/export.json: {}", folder, problem.what());
  }
  cutoff_ = described.cutoff;
  layers_ = described.layers;
  species_of_type_.assign(ntypes + 1, -1);
  for (int type = 1; type <= ntypes; type++) {
    const std::string symbol = arg[2 + type];
    const auto found = std::find(described.species.begin(), described.species.end(), symbol);
    if (found == described.species.end()) {
      std::string known;
      for (const std::string &one : described.species) known += (known.empty() ? "" : ", ") + one;
      error->all(FLERR, "the potential in {} never saw {}: it knows {}", folder, symbol, known);
    }
    species_of_type_[type] = found - described.species.begin();
  }
  try {
    program_ = std::make_unique<sorbus::ExportedProgram>(folder + "/compiled.pt2", described.device);
  } catch (const std::exception &problem) {
    error->all(FLERR, "cannot load {}/compiled.pt2: export with compilation, and with the torch this plugin was built "
               "against ({})", folder, problem.what());
  }
  if (!allocated) allocate();
  for (int i = 1; i <= ntypes; i++)
    for (int j = i; j <= ntypes; j++) setflag[i][j] = 1;
}

void PairSorbus::init_style()
{
  if (std::strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, "pair_style sorbus works in eV and Å: put units metal at the head of the input");
  if (!atom->tag_enable) error->all(FLERR, "pair_style sorbus needs atom IDs: leave out atom_modify id no");
  if (atom->molecular != Atom::ATOMIC)
    for (int k = 1; k < 4; k++)
      if (force->special_lj[k] != 1.0 || force->special_coul[k] != 1.0)
        error->all(FLERR, "pair_style sorbus sees all neighbours, bonded ones too: add special_bonds lj/coul 1 1 1");
  if (comm->nprocs == 1) {
    // images are known by their owners, and what a message says of an image it says of its owner
    neighbor->add_request(this, NeighConst::REQ_FULL);
    return;
  }
  if (!force->newton_pair)
    error->all(FLERR, "on several processes pair_style sorbus returns forces to other processes: use newton on");
  // ghosts hear their own neighbours: all that lies within one cutoff a layer must be here
  ghostneigh = 1;
  neighbor->add_request(this, NeighConst::REQ_FULL | NeighConst::REQ_GHOST);
  comm->cutghostuser = std::max(comm->cutghostuser, layers_ * cutoff_ + neighbor->skin);
}

double PairSorbus::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "pair_style sorbus has no pair_coeff: write pair_coeff * * FOLDER SYMBOLS");
  cutghost[i][j] = cutghost[j][i] = cutoff_;
  return cutoff_;
}

void PairSorbus::find_owners()
{
  std::unordered_map<tagint, int> local(2 * atom->nlocal);
  for (int i = 0; i < atom->nlocal; i++) local[atom->tag[i]] = i;
  owner_.resize(atom->nlocal + atom->nghost);
  for (int i = 0; i < static_cast<int>(owner_.size()); i++) {
    const auto found = local.find(atom->tag[i]);
    if (found == local.end()) error->one(FLERR, "ghost atom {} has no owner", atom->tag[i]);
    owner_[i] = found->second;
  }
}

// The tensors of this configuration. One process: its own atoms, neighbours by owner and shift. Several: ghosts are
// atoms of their own that do not count.
void PairSorbus::gather()
{
  const bool alone = comm->nprocs == 1;
  const int present = alone ? atom->nlocal : atom->nlocal + atom->nghost;
  const int lists = list->inum + (alone ? 0 : list->gnum);
  double **x = atom->x;
  const double within = cutoff_ * cutoff_;

  std::vector<std::vector<int>> found(present);
  int64_t slots = MIN_SIZE;
  for (int row = 0; row < lists; row++) {
    const int i = list->ilist[row];
    for (int n = 0; n < list->numneigh[i]; n++) {
      const int j = list->firstneigh[i][n] & NEIGHMASK;
      const double dx = x[j][0] - x[i][0], dy = x[j][1] - x[i][1], dz = x[j][2] - x[i][2];
      if (dx * dx + dy * dy + dz * dz < within) found[i].push_back(j);
    }
    slots = std::max<int64_t>(slots, found[i].size());
  }

  const int64_t atoms = std::max(present, MIN_SIZE);
  inputs_.atoms = atoms;
  inputs_.slots = slots;
  inputs_.positions.assign(3 * atoms, 0.0);
  inputs_.species.assign(atoms, 0);
  inputs_.owned.assign(atoms, 0.0);
  inputs_.neighbours.resize(atoms * slots);
  inputs_.shifts.assign(3 * atoms * slots, 0.0);
  for (int64_t i = 0; i < atoms; i++)
    for (int64_t n = 0; n < slots; n++) {
      inputs_.neighbours[i * slots + n] = i;
      inputs_.shifts[3 * (i * slots + n) + 2] = 2.0 * cutoff_;
    }
  for (int i = 0; i < present; i++) {
    std::copy(x[i], x[i] + 3, &inputs_.positions[3 * i]);
    inputs_.species[i] = species_of_type_[atom->type[i]];
    inputs_.owned[i] = i < atom->nlocal ? 1.0 : 0.0;
    for (size_t n = 0; n < found[i].size(); n++) {
      const int j = found[i][n], from = alone ? owner_[j] : j;
      inputs_.neighbours[i * slots + n] = from;
      for (int axis = 0; axis < 3; axis++)
        inputs_.shifts[3 * (i * slots + n) + axis] = x[j][axis] - x[from][axis];
    }
  }
}

void PairSorbus::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (atom->nlocal == 0) return;
  if (comm->nprocs == 1) find_owners();
  gather();
  try {
    program_->run(inputs_, outputs_);
  } catch (const std::exception &problem) {
    error->one(FLERR, "the potential failed at step {}: {}", update->ntimestep, problem.what());
  }

  const int present = comm->nprocs == 1 ? atom->nlocal : atom->nlocal + atom->nghost;
  static const int order[6][2] = {{0, 0}, {1, 1}, {2, 2}, {0, 1}, {0, 2}, {1, 2}};
  for (int i = 0; i < present; i++) {
    for (int axis = 0; axis < 3; axis++) atom->f[i][axis] += outputs_.forces[3 * i + axis];
    if (i < atom->nlocal && eflag_global) eng_vdwl += outputs_.energies[i];
    if (i < atom->nlocal && eflag_atom) eatom[i] += outputs_.energies[i];
    if (!vflag_either) continue;
    const double *of_atom = &outputs_.virials[9 * i];
    for (int k = 0; k < 6; k++) {
      const int a = order[k][0], b = order[k][1];
      const double value = 0.5 * (of_atom[3 * a + b] + of_atom[3 * b + a]);
      if (vflag_global) virial[k] += value;
      if (vflag_atom) vatom[i][k] += value;
    }
  }
}
