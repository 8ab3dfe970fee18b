// Scaled dot-product attention, one pass over the keys and no T × S matrix (Dao et al. 2022,
// "FlashAttention"; Dao 2023, "FlashAttention-2").
//
//   q, y [B, T, H, D]    k, v [B, S, G, D]    lse [B, H, T]    lengths [B]
//   Query head h reads key and value head h / (H / G).
//
//   forward        s = scale · q·kᵀ    p = softmax(s)    p̃ = p · keep / (1 − dropout)
//                  y = p̃·v    lse = log Σⱼ exp(sⱼ)
//   backward       p = exp(s − lse)    δ = Σ_d dy · y    ds = p ∘ (dy·vᵀ · keep / (1 − dropout) − δ)
//                  dq = scale · ds·k    dk = scale · dsᵀ·q    dv = p̃ᵀ·dy
//
// Query i sees key j if j < lengths[b] and, when causal, j ≤ i + S − T. A query that sees none has y = 0,
// lse = −∞ and no gradient. The mask of dropout is a function of (seed, position, b, h, i, j), never stored.
// Exponentials are taken to the base 2: q is multiplied by scale · log₂e as it is loaded.
//
// Every product has the form Σ a·b with an element of a broadcast and a row of b in lanes, so one operand of
// q·kᵀ has to be transposed. Forward that is q, once a strip of queries: scores are [keys, strip], the
// softmax needs no horizontal step, and p [keys, strip] is just what y += pᵀ·v broadcasts. Backward it is k
// and v, once a strip of keys: scores are [queries, strip], broadcast by columns into dk and dv and by rows
// into dq. Strips and bands end where the causal mask does: what nobody sees is not computed.
//
// A chunk of parallel work is a function of the shape alone, and sums run in a fixed order.
#include "attention_tiles.h"

namespace ISA {

namespace {

constexpr Index kStrip = 32;          // in lanes: queries forward, keys backward
constexpr Index kBlock = 64;          // broadcast: keys forward, queries backward
constexpr Index kStripsPerBlock = 4;  // that share what was loaded for a kBlock
constexpr Index kStripBlock = kStrip * kStripsPerBlock;
constexpr Index kHalf = kStrip / 2;
constexpr Index kMaxHead = 32768;  // D: bounded by scratch memory
constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
constexpr float kInfinity = __builtin_inff();

// What both directions know of the call.
struct Problem {
  Index B, T, S, H, G, D;
  const std::int32_t* lengths;
  Index lengths_stride;
  float scale;
  bool causal;
  Dropout dropout;

  Problem(const View& q, const View& k, const IdsOpt& lengths, float scale, Index causal, float p, Index seed,
          Index position)
      : B(q.size[0]),
        T(q.size[1]),
        S(k.size[1]),
        H(q.size[2]),
        G(k.size[2]),
        D(q.size[3]),
        lengths(lengths ? lengths.at() : nullptr),
        lengths_stride(lengths.stride[0]),
        scale(scale),
        causal(causal != 0),
        dropout{p, static_cast<std::uint64_t>(seed), static_cast<std::uint64_t>(position)} {}

  bool sound() const {
    if (D > kMaxHead) report_index_fault(0, D, kMaxHead + 1);
    return G > 0 && H % G == 0 && D <= kMaxHead;
  }
  Index row_length() const { return padded(D); }
  // The keys of sequence b, and those of them that query i sees: always the first ones.
  Index keys(Index b) const { return lengths ? max(0, min(S, lengths[b * lengths_stride])) : S; }
  Index seen(Index keys, Index i) const { return causal ? max(0, min(keys, i + S - T + 1)) : keys; }
  // The same as bands of a tile: of keys from j on for rows of queries from i on, and the other way round.
  Band keys_seen(Index i, Index j) const { return causal ? Band{kWhole.from, i + S - T + 1 - j} : kWhole; }
  Band queries_seeing(Index j, Index i) const {
    return causal ? Band{j - (S - T) - i, kWhole.until} : kWhole;
  }
  // The number of an element of p in the stream of random numbers.
  std::uint64_t element(Index b, Index h, Index i, Index j) const {
    return static_cast<std::uint64_t>(((b * H + h) * T + i) * S + j);
  }
};

// One step of the online softmax for a strip: scores s [rows, kStrip] become weights relative to
// exp2(reference). The reference follows the greatest score, but only when it is left behind by more than 2⁸:
// weights stay far from overflow, and `shrink`, by which all that was summed before is to be multiplied, is 1
// most of the time.
void softmax_step(Index rows, Index columns, float* s, float* reference, float* total, float* shrink) {
  for (Index c = 0; c < columns; c += kWidth) {
    Vec<kWidth> even = splat<kWidth>(-kInfinity), odd = even;
    Index j = 0;
    for (; j + 2 <= rows; j += 2) {
      even = max<kWidth>(even, load<kWidth>(s + j * kStrip + c));
      odd = max<kWidth>(odd, load<kWidth>(s + (j + 1) * kStrip + c));
    }
    if (j < rows) even = max<kWidth>(even, load<kWidth>(s + j * kStrip + c));
    const Vec<kWidth> greatest = max<kWidth>(even, odd), before = load<kWidth>(reference + c);
    const Vec<kWidth> now = greatest > before + 8.f ? greatest : before;
    const Vec<kWidth> origin = now == -kInfinity ? Vec<kWidth>{} : now;
    const Vec<kWidth> factor = exp2(before - origin);
    Vec<kWidth> sum = load<kWidth>(total + c) * factor;
    for (j = 0; j < rows; ++j) {
      const Vec<kWidth> p = exp2(load<kWidth>(s + j * kStrip + c) - origin);
      sum += p;
      store<kWidth>(s + j * kStrip + c, p);
    }
    store<kWidth>(reference + c, now);
    store<kWidth>(total + c, sum);
    store<kWidth>(shrink + c, factor);
  }
}

// One strip of queries of one head.
struct Strip {
  Index first, count;
  float *q, *y;  // [D, kStrip] scaled, [kStrip, D]
  float *reference, *total;
};

}  // namespace

void attention_forward(In q, In k, In v, IdsOpt lengths, Out y, Out32 lse, float scale, Index causal,
                       float dropout, Index seed, Index position) {
  const Problem the(q, k, lengths, scale, causal, dropout, seed, position);
  if (!the.sound() || the.B == 0 || the.H == 0) return;
  const Index D = the.D, ld = the.row_length(), heads = the.B * the.H, blocks = ceil_div(the.T, kStripBlock);
  parallel(heads * blocks, [&](Index chunk) {
    const Index b = chunk % heads / the.H, h = chunk % heads % the.H, g = h / (the.H / the.G);
    const Index begin = (blocks - 1 - chunk / heads) * kStripBlock;  // the longest causal rows first
    const Index end = min(the.T, begin + kStripBlock), keys = the.keys(b);
    Scratch scratch;
    float *k_tile = scratch.floats(kBlock * ld), *v_tile = scratch.floats(kBlock * ld);
    float *s = scratch.floats(kBlock * kStrip), *shrink = scratch.floats(kStrip);
    float *random = scratch.floats(kStrip * kBlock), *random_t = scratch.floats(kBlock * kStrip);

    Strip strips[kStripsPerBlock];
    Index strip_count = 0;
    for (Index i = begin; i < end; i += kStrip) {
      Strip& strip = strips[strip_count++];
      strip = {i,
               min(kStrip, end - i),
               scratch.floats(D * kStrip),
               scratch.floats(kStrip * ld),
               scratch.floats(kStrip),
               scratch.floats(kStrip)};
      load_transposed(q.at(b, i, h), q.stride[1], strip.count, D, the.scale * kLog2e, strip.q, kStrip);
      clear(strip.y, strip.count * ld);
      clear(strip.total, kStrip);
      for (Index c = 0; c < kStrip; ++c) strip.reference[c] = -kInfinity;
    }

    const Index last_key = the.seen(keys, end - 1);
    for (Index j0 = 0; j0 < last_key; j0 += kBlock) {
      const Index tile = min(kBlock, last_key - j0);
      load_rows(k.at(b, j0, g), k.stride[1], tile, D, 1, k_tile);
      load_rows(v.at(b, j0, g), v.stride[1], tile, D, 1, v_tile);
      for (Index n = 0; n < strip_count; ++n) {
        const Strip& strip = strips[n];
        const Index rows = min(tile, the.seen(keys, strip.first + strip.count - 1) - j0);
        if (rows <= 0) continue;
        const Index columns = padded(strip.count);
        const Band band = the.keys_seen(strip.first, j0);
        const Index wide =
            columns > kHalf ? max(0, min(rows, band.until + kHalf - 1)) : rows;  // seen by the first half
        multiply<false>(wide, columns, D, k_tile, ld, strip.q, kStrip, s, kStrip, false, kWhole);
        multiply<false>(rows - wide, columns - kHalf, D, k_tile + wide * ld, ld, strip.q + kHalf, kStrip,
                        s + wide * kStrip + kHalf, kStrip, false, kWhole);
        for (Index j = max(0, the.seen(keys, strip.first) - j0); j < rows; ++j) {
          const float hidden =
              static_cast<float>(j0 + j - (strip.first + the.S - the.T));  // queries that come earlier
          for (Index c = 0; c < columns; c += kWidth) {
            const Vec<kWidth> lane = lane_numbers() + static_cast<float>(c);
            float* p = s + j * kStrip + c;
            store<kWidth>(p, lane < hidden ? splat<kWidth>(-kInfinity) : load<kWidth>(p));
          }
        }
        softmax_step(rows, columns, s, strip.reference, strip.total, shrink);
        if (the.dropout) {
          for (Index i = 0; i < strip.count; ++i)
            the.dropout.uniforms(the.element(b, h, strip.first + i, j0), rows, random + i * kBlock);
          load_transposed(random, kBlock, strip.count, rows, 1, random_t, kStrip);
          for (Index j = 0; j < rows; ++j)
            for (Index c = j * kStrip; c < j * kStrip + columns; c += kWidth)
              store<kWidth>(s + c,
                            load<kWidth>(random_t + c) < the.dropout.p ? Vec<kWidth>{} : load<kWidth>(s + c));
        }
        for (Index i = 0; i < strip.count; ++i)
          if (shrink[i] != 1)
            for (Index d = i * ld; d < (i + 1) * ld; d += kWidth)
              store<kWidth>(strip.y + d, load<kWidth>(strip.y + d) * shrink[i]);
        multiply<true>(strip.count, ld, rows, s, kStrip, v_tile, ld, strip.y, ld, true, band);
      }
    }

    for (Index n = 0; n < strip_count; ++n)
      for (Index i = 0; i < strips[n].count; ++i) {
        const float total = strips[n].total[i];
        store_row(strips[n].y + i * ld, D, total == 0 ? 0 : the.dropout.scale() / total,
                  y.at(b, strips[n].first + i, h));
        *lse.at(b, h, strips[n].first + i) =
            total == 0 ? -kInfinity : (strips[n].reference[i] + log2(total)) * kLn2;
      }
  });
}

namespace {

struct Range {
  Index begin, end;
  Index size() const { return end - begin; }
};

struct Backward : Problem {
  In dy, q, k, v, y;
  In32 lse;
  Out dq, dk, dv;

  // The gradients of a range of queries (dq, which needs all keys) and of keys (dk and dv, which need all
  // queries of all heads that share them), as wanted. dq is summed in scratch memory over the blocks of keys.
  void run(Index b, Index g, Range heads, Range queries, Range key_range, bool want_dq, bool want_dkv) const;
  void load_row_constants(Index b, Index h, Index i, Index rows, float* lse2, float* delta) const;
  void weights(Index b, Index h, Index i, Index rows, Index j, Index columns, Index keys, const float* lse2,
               const float* delta, float* p, float* ds) const;
};

// lse to the base 2, and δ, of queries from i on.
void Backward::load_row_constants(Index b, Index h, Index i, Index rows, float* lse2, float* delta) const {
  for (Index r = 0; r < rows; ++r) {
    const auto dy_r = dy.row(b, i + r, h), y_r = y.row(b, i + r, h);
    lse2[r] = *lse.at(b, h, i + r) * kLog2e;
    delta[r] = sum(D, [&](auto d) { return dy_r[d] * y_r[d]; });
  }
}

// For queries from i and keys from j on, in place: scores → p̃ · (1 − dropout), dy·vᵀ → ds.
void Backward::weights(Index b, Index h, Index i, Index rows, Index j, Index columns, Index keys,
                       const float* lse2, const float* delta, float* p, float* ds) const {
  const float keep_scale = dropout.scale();
  float random[kStrip];
  for (Index r = 0; r < rows; ++r, p += kStrip, ds += kStrip) {
    const float visible = static_cast<float>(seen(keys, i + r) - j);
    if (dropout) dropout.uniforms(element(b, h, i + r, j), columns, random);
    for (Index c = 0; c < columns; c += kWidth) {
      const auto sees = lane_numbers() + static_cast<float>(c) < visible;
      const Vec<kWidth> weight = exp2(load<kWidth>(p + c) - lse2[r]), dp = load<kWidth>(ds + c);
      if (dropout) {
        const auto kept = load<kWidth>(random + c) >= this->dropout.p;
        store<kWidth>(p + c, sees & kept ? weight : Vec<kWidth>{});
        store<kWidth>(ds + c,
                      sees ? weight * ((kept ? dp * keep_scale : Vec<kWidth>{}) - delta[r]) : Vec<kWidth>{});
      } else {
        store<kWidth>(p + c, sees ? weight : Vec<kWidth>{});
        store<kWidth>(ds + c, sees ? weight * (dp - delta[r]) : Vec<kWidth>{});
      }
    }
  }
}

void Backward::run(Index b, Index g, Range heads, Range queries, Range key_range, bool want_dq,
                   bool want_dkv) const {
  const Index ld = row_length(), keys = this->keys(b),
              last_key = min(key_range.end, seen(keys, queries.end - 1));
  Scratch scratch;
  float *q_rows = scratch.floats(kBlock * ld), *dy_rows = scratch.floats(kBlock * ld);
  float *k_rows = scratch.floats(kStripBlock * ld), *k_t = scratch.floats(kStripBlock * D);
  float* v_t = scratch.floats(kStripBlock * D);
  float *dk_rows = scratch.floats(kStripBlock * ld), *dv_rows = scratch.floats(kStripBlock * ld);
  float *p = scratch.floats(kBlock * kStrip), *ds = scratch.floats(kBlock * kStrip);
  float *lse2 = scratch.floats(kBlock), *delta = scratch.floats(kBlock);
  float* dq_rows = want_dq ? scratch.floats(heads.size() * queries.size() * ld) : nullptr;
  if (want_dq) clear(dq_rows, heads.size() * queries.size() * ld);

  for (Index j0 = key_range.begin; j0 < key_range.end; j0 += kStripBlock) {
    const Index tile = min(kStripBlock, last_key - j0);
    if (want_dkv) clear(dk_rows, kStripBlock * ld), clear(dv_rows, kStripBlock * ld);
    for (Index c = 0; c < tile; c += kStrip) {
      const Index count = min(kStrip, tile - c);
      load_transposed(k.at(b, j0 + c, g), k.stride[1], count, D, 1, k_t + c * D, kStrip);
      load_transposed(v.at(b, j0 + c, g), v.stride[1], count, D, 1, v_t + c * D, kStrip);
    }
    if (tile > 0 && want_dq) load_rows(k.at(b, j0, g), k.stride[1], tile, D, 1, k_rows);

    for (Index h = heads.begin; tile > 0 && h < heads.end; ++h)
      for (Index i0 = queries.begin; i0 < queries.end; i0 += kBlock) {
        const Index block = min(kBlock, queries.end - i0);
        if (seen(keys, i0 + block - 1) <= j0) continue;
        load_rows(q.at(b, i0, h), q.stride[1], block, D, scale * kLog2e, q_rows);
        load_rows(dy.at(b, i0, h), dy.stride[1], block, D, 1, dy_rows);
        load_row_constants(b, h, i0, block, lse2, delta);
        for (Index c = 0; c < tile; c += kStrip) {
          const Index j = j0 + c, count = min(kStrip, tile - c), columns = padded(count);
          const Index hidden = causal ? max(0, j - (S - T) - i0) : 0, rows = block - hidden, i = i0 + hidden;
          if (rows <= 0) break;
          const Index row = (h - heads.begin) * queries.size() + i - queries.begin;
          const float *q_i = q_rows + hidden * ld, *dy_i = dy_rows + hidden * ld;
          const Band band = keys_seen(i, j);
          const Index narrow =
              columns > kHalf ? max(0, min(rows, kHalf + 1 - band.until)) : 0;  // see the first half
          const auto scores = [&](const float* a, const float* b_t, float* to) {
            multiply<false>(narrow, kHalf, D, a, ld, b_t, kStrip, to, kStrip, false, kWhole);
            multiply<false>(rows - narrow, columns, D, a + narrow * ld, ld, b_t, kStrip, to + narrow * kStrip,
                            kStrip, false, kWhole);
          };
          scores(q_i, k_t + c * D, p);
          scores(dy_i, v_t + c * D, ds);
          weights(b, h, i, rows, j, columns, keys, lse2 + hidden, delta + hidden, p, ds);
          if (want_dkv) {
            multiply<true>(count, ld, rows, p, kStrip, dy_i, ld, dv_rows + c * ld, ld, true,
                           queries_seeing(j, i));
            multiply<true>(count, ld, rows, ds, kStrip, q_i, ld, dk_rows + c * ld, ld, true,
                           queries_seeing(j, i));
          }
          if (want_dq)
            multiply<false>(rows, ld, count, ds, kStrip, k_rows + c * ld, ld, dq_rows + row * ld, ld, true,
                            band);
        }
      }

    for (Index j = 0; want_dkv && j < min(kStripBlock, key_range.end - j0); ++j) {
      store_row(dk_rows + j * ld, D, kLn2, dk.at(b, j0 + j, g));  // q_rows carry scale · log₂e
      store_row(dv_rows + j * ld, D, dropout.scale(), dv.at(b, j0 + j, g));
    }
  }

  for (Index h = heads.begin; want_dq && h < heads.end; ++h)
    for (Index i = queries.begin; i < queries.end; ++i)
      store_row(dq_rows + ((h - heads.begin) * queries.size() + i - queries.begin) * ld, D, scale,
                dq.at(b, i, h));
}

}  // namespace

// With enough heads, one of keys and values and the queries that read it are one chunk. With few, or where dq
// would not fit scratch memory, dq and (dk, dv) are computed apart in smaller chunks, at 7/5 of the work.
void attention_backward(In dy, In q, In k, In v, IdsOpt lengths, In y, In32 lse, Out dq, Out dk, Out dv,
                        float scale, Index causal, float dropout, Index seed, Index position) {
  const Backward the{
      {q, k, lengths, scale, causal, dropout, seed, position}, dy, q, k, v, y, lse, dq, dk, dv};
  if (!the.sound() || the.B == 0 || the.D == 0 || (the.T == 0 && the.S == 0)) return;
  constexpr Index kFewHeads = 4, kMaxFloats = Index{1} << 25, kQueries = 256;
  const Index T = the.T, S = the.S, G = the.G, group = the.H / G;
  const auto heads = [&](Index g) { return Range{g * group, (g + 1) * group}; };
  if (the.B * G >= kFewHeads && T <= kMaxFloats / the.row_length() / max(group, 1)) {
    parallel(the.B * G, [&](Index chunk) {
      the.run(chunk / G, chunk % G, heads(chunk % G), {0, T}, {0, S}, true, true);
    });
    return;
  }
  const Index query_blocks = ceil_div(T, kQueries), key_blocks = ceil_div(S, kStripBlock);
  parallel(the.B * the.H * query_blocks, [&](Index chunk) {
    const Index b = chunk / query_blocks / the.H, h = chunk / query_blocks % the.H,
                i = chunk % query_blocks * kQueries;
    the.run(b, h / group, {h, h + 1}, {i, min(T, i + kQueries)}, {0, S}, true, false);
  });
  parallel(the.B * G * key_blocks, [&](Index chunk) {
    const Index b = chunk / key_blocks / G, g = chunk / key_blocks % G, j = chunk % key_blocks * kStripBlock;
    the.run(b, g, heads(g), {0, T}, {j, min(S, j + kStripBlock)}, false, true);
  });
}

}  // namespace ISA
