// LAMMPS pair style `sorbus`: an exported potential (compiled.pt2), on one MPI process or on many.

#pragma once

#include "pair.h"

#include <memory>
#include <string>
#include <vector>

#include "exported_program.h"

namespace LAMMPS_NS {

class PairSorbus : public Pair {
 public:
  explicit PairSorbus(LAMMPS *);
  ~PairSorbus() override;

  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void compute(int, int) override;

 private:
  double cutoff_ = 0.0;  // Å
  int layers_ = 0;       // a message travels one cutoff a layer
  std::vector<int64_t> species_of_type_;
  std::unique_ptr<sorbus::ExportedProgram> program_;
  sorbus::Inputs inputs_;
  sorbus::Outputs outputs_;
  std::vector<int> owner_;  // of each local and ghost atom: the local atom it is an image of (one process only)

  void allocate();
  void find_owners();
  void gather();
};

}  // namespace LAMMPS_NS
