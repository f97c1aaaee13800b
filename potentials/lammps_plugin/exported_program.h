// The compiled package of an exported potential, without a word of torch or LAMMPS: each is included in one file only,
// because both bring a library called fmt.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sorbus {

// The tensors of docs/potentials_export.md, flat and row after row; n atoms, k slots an atom.
struct Inputs {
  int64_t atoms = 0, slots = 0;
  std::vector<double> positions;     // [n, 3] Å
  std::vector<int64_t> species;      // [n] index into the species of export.json
  std::vector<int64_t> neighbours;   // [n, k] the atom itself where a slot is empty
  std::vector<double> shifts;        // [n, k, 3] Å
  std::vector<double> owned;         // [n] 1, or 0 for a ghost
};

struct Outputs {
  std::vector<double> energies;  // [n] eV
  std::vector<double> forces;    // [n, 3] eV/Å
  std::vector<double> virials;   // [n, 3, 3] eV
};

class ExportedProgram {
 public:
  // Throws std::exception where the package cannot be read. `device` as in export.json, e.g. cpu or cuda:0.
  ExportedProgram(const std::string &package, const std::string &device);
  ~ExportedProgram();

  void run(Inputs &inputs, Outputs &outputs);

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace sorbus
