#include "exported_program.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

namespace sorbus {

namespace {

void copy_out(const at::Tensor &tensor, std::vector<double> &into)
{
  const at::Tensor here = tensor.to(at::kCPU, at::kDouble).contiguous();
  into.assign(here.data_ptr<double>(), here.data_ptr<double>() + here.numel());
}

}  // namespace

struct ExportedProgram::Loaded {
  torch::inductor::AOTIModelPackageLoader package;
  at::Device device;

  Loaded(const std::string &path, const std::string &name) : package(path), device(name) {}
};

ExportedProgram::ExportedProgram(const std::string &package, const std::string &device)
    : loaded_(std::make_unique<Loaded>(package, device))
{
}

ExportedProgram::~ExportedProgram() = default;

void ExportedProgram::run(Inputs &in, Outputs &out)
{
  const at::NoGradGuard no_gradients;
  const int64_t n = in.atoms, k = in.slots;
  std::vector<at::Tensor> tensors = {
      at::from_blob(in.positions.data(), {n, 3}, at::kDouble),
      at::from_blob(in.species.data(), {n}, at::kLong),
      at::from_blob(in.neighbours.data(), {n, k}, at::kLong),
      at::from_blob(in.shifts.data(), {n, k, 3}, at::kDouble),
      at::from_blob(in.owned.data(), {n}, at::kDouble),
  };
  for (at::Tensor &tensor : tensors) tensor = tensor.to(loaded_->device);
  const std::vector<at::Tensor> answers = loaded_->package.run(tensors);
  copy_out(answers.at(0), out.energies);
  copy_out(answers.at(1), out.forces);
  copy_out(answers.at(2), out.virials);
}

}  // namespace sorbus
