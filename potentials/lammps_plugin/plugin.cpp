// `plugin load` calls lammpsplugin_init and gets the pair style (docs.lammps.org/Developer_plugins.html).

#include "lammps.h"
#include "pair_sorbus.h"

using namespace LAMMPS_NS;

namespace {

// What LAMMPS's src/PLUGIN/plugin.cpp reads; its header is not among those that are installed.
struct Registration {
  const char *version, *style, *name, *info, *author;
  Pair *(*creator)(LAMMPS *);
  void *handle;
};

Pair *create(LAMMPS *lmp)
{
  return new PairSorbus(lmp);
}

}  // namespace

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *registrar)
{
  Registration plugin = {static_cast<LAMMPS *>(lmp)->version,
                         "pair",
                         "sorbus",
                         "potentials exported by Sorbus",
                         "Sorbus maintainers",
                         &create,
                         handle};
  reinterpret_cast<void (*)(Registration *, void *)>(registrar)(&plugin, lmp);
}
