// SGD with momentum and Lion, in the order of PyTorch's operations, and what further optimizers are composed
// of. Formulas: ../../native/ops/update_rules.cc.
//
//   parameter, velocity, m, gradient, x, y [N]    norm [1]
#include "../clipping.h"
#include "../map.h"

namespace TABLE {

struct Descent {
  Clipping clipping;
  float step, keep, rest, decay;
  bool nesterov;

  PRIMITIVE void update(float& parameter, float* velocity, float gradient, float clip) const {
    float g = gradient * clip + parameter * decay;
    if (velocity) {
      const float v = *velocity * keep + g * rest;
      *velocity = v;
      g = nesterov ? g + v * keep : v;
    }
    parameter -= g * step;
  }
};

__global__ void sgd_elements(Descent descent, float* parameter, float* velocity, const float* gradient,
                             Index count) {
  const Index i = global_thread();
  if (i >= count) return;
  descent.update(parameter[i], velocity ? velocity + i : nullptr, gradient[i], descent.clipping.factor());
}

void sgd(Acc parameter, AccOpt velocity, In32 gradient, In32Opt norm, double maxNorm, double learningRate,
         double momentum, double dampening, double weightDecay, Index nesterov) {
  const Descent descent{Clipping(norm, maxNorm),         static_cast<float>(learningRate),
                        static_cast<float>(momentum),    static_cast<float>(1 - dampening),
                        static_cast<float>(weightDecay), nesterov != 0};
  const Index N = parameter.size[0];
  launch(sgd_elements, blocks_for(N), block_for(N), 0, descent, parameter.at(), velocity.at(), gradient.at(),
         N);
}

struct Lion {
  Clipping clipping;
  float step, keep1, rest1, keep2, rest2, decay;

  PRIMITIVE void update(float& parameter, float& m, float gradient, float clip) const {
    const float g = gradient * clip, c = m * keep1 + g * rest1;
    const float sign = c > 0 ? 1 : c < 0 ? -1 : c;
    m = m * keep2 + g * rest2;
    parameter = parameter * decay - sign * step;
  }
};

__global__ void lion_elements(Lion lion, float* parameter, float* m, const float* gradient, Index count) {
  const Index i = global_thread();
  if (i < count) lion.update(parameter[i], m[i], gradient[i], lion.clipping.factor());
}

void lion(Acc parameter, Acc m, In32 gradient, In32Opt norm, double maxNorm, double learningRate,
          double beta1, double beta2, double weightDecay) {
  const Lion lion{Clipping(norm, maxNorm),
                  static_cast<float>(learningRate),
                  static_cast<float>(beta1),
                  static_cast<float>(1 - beta1),
                  static_cast<float>(beta2),
                  static_cast<float>(1 - beta2),
                  static_cast<float>(1 - learningRate * weightDecay)};
  const Index N = parameter.size[0];
  launch(lion_elements, blocks_for(N), block_for(N), 0, lion, parameter.at(), m.at(), gradient.at(), N);
}

struct Clip {
  Clipping clipping;
  float limit;
  PRIMITIVE float operator()(float gradient) const {
    const float g = gradient * clipping.factor();
    return g > limit ? limit : g < -limit ? -limit : g;  // NaN stays
  }
};

void clip_gradient(Acc gradient, In32Opt norm, double maxNorm, double maxValue) {
  const float limit = maxValue > 0 ? static_cast<float>(maxValue) : INFINITY;
  map(Clip{Clipping(norm, maxNorm), limit}, gradient.size[0], gradient.at(), gradient.at());
}

struct Lerp {
  float weight;
  PRIMITIVE float operator()(float y, float x) const { return y + (x - y) * weight; }
};

void lerp(Acc y, In32 x, double weight) {
  map(Lerp{static_cast<float>(weight)}, y.size[0], y.at(), y.at(), x.at());
}

struct Root {
  float least;
  bool inverse;
  PRIMITIVE float operator()(float x) const {
    const float width = sqrtf(least > x ? least : x);
    return inverse ? 1 / width : width;
  }
};

void root(In32 x, Out32 y, double floor, Index inverse) {
  map(Root{static_cast<float>(floor), inverse != 0}, y.size[0], y.at(), x.at());
}

}  // namespace TABLE
