// Scaled dot-product attention, one pass over the keys and no T × S matrix (Dao et al. 2022,
// "FlashAttention"; Dao 2023, "FlashAttention-2").
//
//   q, y [B, T, H, D]    k, v [B, S, G, D]    lse [B, H, T]    lengths [B]
//   starts [B, T]    slopes [H]    blocks [⌈T/n⌉, ⌈S/n⌉], n = blockSize
//   Query head h reads key and value head h / (H / G).
//
//   forward        s = scale · q·kᵀ    p = softmax(s)    p̃ = p · keep / (1 − dropout)
//                  y = p̃·v    lse = log Σⱼ exp(sⱼ)
//   backward       p = exp(s − lse)    δ = Σ_d dy · y    ds = p ∘ (dy·vᵀ · keep / (1 − dropout) − δ)
//                  dq = scale · ds·k    dk = scale · dsᵀ·q    dv = p̃ᵀ·dy
//
// Query i stands at key i + S − T. It sees key j if j < lengths[b]; when causal, j ≤ i + S − T; with a window
// W > 0, |i + S − T − j| < W; j ≥ starts[b, i]; and blocks[⌊i/n⌋, ⌊j/n⌋] ≠ 0. A query that sees none has y =
// 0, lse = −∞ and no gradient. slopes[h] · (j − (i + S − T)) is added to the score. The mask of dropout is a
// function of (seed, position, b, h, i, j), never stored. Exponentials are taken to the base 2: scores are
// multiplied by scale · log₂e.
//
// Every product has the form Σ a·b with a word of a broadcast and a row of b in lanes, so one operand of
// q·kᵀ has to be transposed. Forward that is q, once a strip of queries: scores are [keys, strip], the
// softmax needs no horizontal step, and p [keys, strip] is just what y += pᵀ·v broadcasts. Backward it is k
// and v, once a strip of keys: scores are [queries, strip], broadcast by columns into dk and dv and by rows
// into dq. Where the processor multiplies pairs of bf16, p and ds are rounded to bf16 for these products.
// One query a row has nothing to share and goes another way: attention_token.h.
// Strips and bands end where the causal mask and the window do, and tiles where starts and blocks let their
// first and their last key be seen: what nobody sees is not computed. What is hidden within a tile has a
// score of −∞.
//
// A chunk of parallel work is a function of the shape alone, and sums run in a fixed order.
#include "attention_problem.h"
#include "attention_token.h"

namespace ISA {

namespace {

constexpr Index kStripsPerBlock = 4;  // that share what was loaded for a kBlock
constexpr Index kStripBlock = kStrip * kStripsPerBlock;
constexpr float kNoKey = 1e30f;  // log₂ of the sum of a query that sees no key, backward: its weights are 0

// One strip of queries of one head.
struct Strip {
  Index first, count;
  float *q, *y;  // [words(D), kStrip], [kStrip, D]
  float *reference, *total;
};

// One step of the online softmax for a strip: scores s [rows, kStrip], times `factor`, become words of
// weights relative to exp2(reference). The reference follows the greatest score, but only when it is left
// behind by more than 2⁸: weights stay far from overflow, and `shrink`, by which all that was summed before
// is to be multiplied, is 1 most of the time. Weights whose `random` number is below `dropout` count in the
// total only.
void softmax_step(const Scores& tile, float factor, const float* random, float dropout, float* s,
                  const Strip& strip, float* shrink) {
  for (Index c = 0; c < tile.columns; c += kWidth) {
    const Range counting = tile.counting(c, kWidth);
    Vec<kWidth> greatest = splat<kWidth>(-kInfinity);
    for (Index j = counting.begin; j < counting.end; ++j) {
      Vec<kWidth> x = load<kWidth>(s + j * kStrip + c) * factor;
      if (!tile.is_inside(j, c)) x = tile.lanes_inside(j, c) ? x : -kInfinity;
      store<kWidth>(s + j * kStrip + c, x);
      greatest = max<kWidth>(greatest, x);
    }
    const Vec<kWidth> before = load<kWidth>(strip.reference + c);
    const Vec<kWidth> now = greatest > before + 8.f ? greatest : before;
    const Vec<kWidth> origin = now == -kInfinity ? Vec<kWidth>{} : now;
    const Vec<kWidth> shrunk = before == -kInfinity ? splat<kWidth>(1) : exp2(before - origin);
    Vec<kWidth> sum = load<kWidth>(strip.total + c) * shrunk;
    for (Index j = counting.begin; j < counting.end; j += kWordElements) {
      Vec<kWidth> p[kWordElements] = {};
      for (Index e = 0; e < kWordElements && j + e < counting.end; ++e) {
        p[e] = exp2(load<kWidth>(s + (j + e) * kStrip + c) - origin);
        sum += p[e];
        if (random) p[e] = load<kWidth>(random + (j + e) * kStrip + c) < dropout ? Vec<kWidth>{} : p[e];
      }
      store<kWidth>(s + j / kWordElements * kStrip + c, words_of_rows(p));
    }
    tile.clear_rest(s, c);
    store<kWidth>(strip.reference + c, now);
    store<kWidth>(strip.total + c, sum);
    store<kWidth>(shrink + c, shrunk);
  }
}

}  // namespace

void attention_forward(In q, In k, In v, IdsOpt lengths, IdsOpt starts, In32Opt slopes, IdsOpt blocks, Out y,
                       Out32 lse, float scale, Index causal, Index window, Index blockSize, float dropout,
                       Index seed, Index position) {
  const Problem the(q, k, lengths, {starts, slopes, blocks, blockSize}, scale, causal, window, dropout, seed,
                    position);
  if (!the.sound() || the.B == 0 || the.H == 0) return;
  const Index D = the.D, ld = the.row_length(), ldw = the.word_length(), heads = the.B * the.H;
  if (the.T == 1 && !the.dropout && !blocks)
    return parallel(heads, [&](Index n) { attend_token(the, n / the.H, n % the.H, q, k, v, y, lse); });
  const Index chunks = ceil_div(the.T, kStripBlock);
  const bool is_masked = the.is_masked();
  parallel(heads * chunks, [&](Index chunk) {
    const Index b = chunk % heads / the.H, h = chunk % heads % the.H, g = h / (the.H / the.G);
    const Index begin = (chunks - 1 - chunk / heads) * kStripBlock;  // the longest causal rows first
    const Index end = min(the.T, begin + kStripBlock), keys = the.keys(b);
    Scratch scratch;
    float *k_tile = scratch.floats(kBlock * ldw), *v_tile = scratch.floats(words_of(kBlock) * ld);
    float *s = scratch.floats(kBlock * kStrip), *shrink = scratch.floats(kStrip);
    float *random = scratch.floats(kStrip * kBlock), *random_t = scratch.floats(kBlock * kStrip);

    if (the.is_far() && chunk % heads + 1 < heads) {
      prefetch_rows<true>(y.at(b, begin, h), y.stride[1], end - begin, D);
      const Index n = chunk % heads + 1, next_b = n / the.H, next_h = n % the.H,
                  next_g = next_h / (the.H / the.G);
      prefetch_rows(q.at(next_b, begin, next_h), q.stride[1], end - begin, D);
      prefetch_rows(k.at(next_b, 0, next_g), k.stride[1], min(the.S, kBlock), D);
      prefetch_rows(v.at(next_b, 0, next_g), v.stride[1], min(the.S, kBlock), D);
    }

    Strip strips[kStripsPerBlock];
    Index strip_count = 0;
    for (Index i = begin; i < end; i += kStrip) {
      Strip& strip = strips[strip_count++];
      strip = {i,
               min(kStrip, end - i),
               scratch.floats(words_of(D) * kStrip),
               scratch.floats(kStrip * ld),
               scratch.floats(kStrip),
               scratch.floats(kStrip)};
      load_transposed(q.at(b, i, h), q.stride[1], strip.count, D, strip.q, kStrip);
      clear(strip.y, strip.count * ld);
      clear(strip.total, kStrip);
      for (Index c = 0; c < kStrip; ++c) strip.reference[c] = -kInfinity;
    }

    Range seen = {the.first_seen(begin), the.seen_until(keys, end - 1)};
    if (is_masked) seen = the.keys_left(b, {begin, end}, seen);
    for (Index j0 = seen.begin; j0 < seen.end; j0 += kBlock) {
      const Index block = min(kBlock, seen.end - j0);
      if (is_masked && the.keys_left(b, {begin, end}, {j0, j0 + block}).size() <= 0) continue;
      load_rows(k.at(b, j0, g), k.stride[1], block, D, k_tile, ldw);
      load_columns(v.at(b, j0, g), v.stride[1], block, D, v_tile);
      for (Index n = 0; n < strip_count; ++n) {
        const Strip& strip = strips[n];
        Range rows = depths(the.keys_seen(strip.first, j0), 0, strip.count, block);
        if (is_masked && rows.size() > 0)
          rows = whole_words(the.keys_left(b, {strip.first, strip.first + strip.count}, {j0, j0 + block}), j0,
                             rows);
        if (rows.size() <= 0) continue;
        const Index j = j0 + rows.begin;
        const Band band = the.keys_seen(strip.first, j);
        const Scores tile = {rows.size(), padded(strip.count), band};
        tile.multiply(D, k_tile + rows.begin * ldw, ldw, strip.q, s);
        if (the.dropout) {
          for (Index i = 0; i < strip.count; ++i)
            the.dropout.uniforms(the.element(b, h, strip.first + i, j), tile.rows, random + i * kBlock);
          transpose_floats(random, kBlock, kStrip, kBlock, random_t, kStrip);
        }
        if (is_masked) the.mask<true>(tile, b, h, strip.first, j, strip.count, s);
        softmax_step(tile, is_masked ? 1 : scale * kLog2e, the.dropout ? random_t : nullptr, dropout, s,
                     strip, shrink);
        for (Index i = 0; i < strip.count; ++i)
          if (shrink[i] != 1)
            for (Index d = i * ld; d < (i + 1) * ld; d += kWidth)
              store<kWidth>(strip.y + d, load<kWidth>(strip.y + d) * shrink[i]);
        multiply<true>(strip.count, ld, tile.rows, s, kStrip, v_tile + rows.begin / kWordElements * ld, ld,
                       strip.y, ld, true, band);
      }
    }

    for (Index n = 0; n < strip_count; ++n) {
      const auto [first, count, q_t, y_rows, reference, total] = strips[n];
      for (Index c = 0; c < count; c += kWidth) {
        const Vec<kWidth> sum = load<kWidth>(total + c), level = load<kWidth>(reference + c) + log2(sum);
        store<kWidth>(reference + c, sum == 0.f ? -kInfinity : level * kLn2);
        store<kWidth>(total + c, sum == 0.f ? Vec<kWidth>{} : the.dropout.scale() / sum);
      }
      for (Index i = 0; i < count; ++i) {
        store_row(y_rows + i * ld, D, total[i], y.at(b, first + i, h));
        *lse.at(b, h, first + i) = reference[i];
      }
    }
  });
}

namespace {

struct Backward : Problem {
  In dy, q, k, v, y;
  In32 lse;
  Out dq, dk, dv;

  // The gradients of a range of queries (dq, which needs all keys) and of keys (dk and dv, which need all
  // queries of all heads that share them), as wanted. dq is summed in scratch memory over the blocks of keys.
  void run(Index b, Index g, Range heads, Range queries, Range key_range, bool want_dq, bool want_dkv) const;
  void prefetch(Index b, Index g) const;
  void weights(const Scores& tile, Index b, Index h, Index i, Index j, Index keys, float factor,
               const float* lse2, const float* delta, float* random, float* p, float* ds,
               float* ds_rows) const;
};

// What run() reads first, and writes.
void Backward::prefetch(Index b, Index g) const {
  const Index h = g * (H / G), rows = min(T, kBlock), columns = min(S, kStripBlock);
  prefetch_rows<true>(dk.at(b, 0, g), dk.stride[1], columns, D);
  prefetch_rows<true>(dv.at(b, 0, g), dv.stride[1], columns, D);
  prefetch_rows(k.at(b, 0, g), k.stride[1], columns, D);
  prefetch_rows(v.at(b, 0, g), v.stride[1], columns, D);
  prefetch_rows(q.at(b, 0, h), q.stride[1], rows, D);
  prefetch_rows(dy.at(b, 0, h), dy.stride[1], rows, D);
  prefetch_rows(y.at(b, 0, h), y.stride[1], rows, D);
  prefetch_rows<true>(dq.at(b, 0, h), dq.stride[1], rows, D);
}

// For queries from i and keys from j on, in place: scores, which `factor` takes to the base 2, → words of
// p̃ · (1 − dropout), dy·vᵀ → words of ds, both down the columns; and those of ds along its rows.
void Backward::weights(const Scores& tile, Index b, Index h, Index i, Index j, Index keys, float factor,
                       const float* lse2, const float* delta, float* random, float* p, float* ds,
                       float* ds_rows) const {
  const float keep_scale = dropout.scale();
  for (Index r = 0; dropout && r < tile.rows; ++r)
    dropout.uniforms(element(b, h, i + r, j), tile.columns, random + r * kStrip);
  for (Index c = 0; c < tile.columns; c += kWidth) {
    const Range counting = tile.counting(c, kWidth);
    const auto exists = lane_numbers() + static_cast<float>(c) < static_cast<float>(keys - j);
    for (Index r = counting.begin; r < counting.end; r += kWordElements) {
      Vec<kWidth> weight[kWordElements] = {}, slope[kWordElements] = {};
      for (Index e = 0; e < kWordElements && r + e < counting.end; ++e) {
        const Index at = (r + e) * kStrip + c;
        const bool all = tile.is_inside(r + e, c) && j + c + kWidth <= keys;
        const auto sees = tile.lanes_inside(r + e, c) & exists;
        Vec<kWidth> w = exp2(load<kWidth>(p + at) * factor - lse2[r + e]), dp = load<kWidth>(ds + at);
        if (!all) w = sees ? w : Vec<kWidth>{};
        weight[e] = w;
        if (dropout) {
          const auto kept = load<kWidth>(random + at) >= dropout.p;
          weight[e] = kept ? w : Vec<kWidth>{};
          dp = kept ? dp * keep_scale : Vec<kWidth>{};
        }
        slope[e] = w * (dp - delta[r + e]);
        if (!all) slope[e] = sees ? slope[e] : Vec<kWidth>{};
      }
      store<kWidth>(p + r / kWordElements * kStrip + c, words_of_rows(weight));
      store<kWidth>(ds + r / kWordElements * kStrip + c, words_of_rows(slope));
      for (Index e = 0; kPairs && e < kWordElements; ++e)
        store_rounded(reinterpret_cast<Real*>(ds_rows) + (r + e) * kStrip + c, slope[e]);
    }
    tile.clear_rest(p, c);
    tile.clear_rest(ds, c);
    for (Index r = 0; kPairs && r < tile.rows; ++r)
      if (r < counting.begin || r >= counting.end)
        store_rounded(reinterpret_cast<Real*>(ds_rows) + r * kStrip + c, Vec<kWidth>{});
  }
}

void Backward::run(Index b, Index g, Range heads, Range queries, Range key_range, bool want_dq,
                   bool want_dkv) const {
  const Index ld = row_length(), ldw = word_length(), keys = this->keys(b);
  const Index last_key = min(key_range.end, seen_until(keys, queries.end - 1));
  const bool is_masked = this->is_masked();
  constexpr Index kStripWords = kStrip / kWordElements;
  Scratch scratch;
  const auto block_of = [&](Index columns, Index rows) { return scratch.floats(words_of(rows) * columns); };
  float *q_columns = block_of(ld, kBlock), *dy_columns = block_of(ld, kBlock);
  float* q_rows = kPairs ? scratch.floats(kBlock * ldw) : q_columns;  // words of one float: the same
  float* dy_rows = kPairs ? scratch.floats(kBlock * ldw) : dy_columns;
  float *k_columns = block_of(ld, kStripBlock), *k_t = block_of(kStripBlock, D),
        *v_t = block_of(kStripBlock, D);
  float *dk_rows = scratch.floats(kStripBlock * ld), *dv_rows = scratch.floats(kStripBlock * ld);
  float *p = scratch.floats(kBlock * kStrip), *ds = scratch.floats(kBlock * kStrip);
  float* ds_rows = kPairs ? scratch.floats(kBlock * kStripWords) : ds;
  float* random = scratch.floats(kBlock * kStrip);
  float *lse2 = scratch.floats(kBlock), *delta = scratch.floats(kBlock);
  float* dq_rows = want_dq ? scratch.floats(heads.size() * queries.size() * ld) : nullptr;
  if (want_dq) clear(dq_rows, heads.size() * queries.size() * ld);

  const Index first_key = want_dkv ? key_range.begin : max(key_range.begin, first_seen(queries.begin));
  for (Index j0 = first_key; j0 < (want_dkv ? key_range.end : last_key); j0 += kStripBlock) {
    const Index block = min(kStripBlock, last_key - j0);
    Range seeing = {max(queries.begin, queries_seeing(j0, 0).from),
                    min(queries.end, queries_seeing(j0 + block - 1, 0).until)};
    if (is_masked && block > 0) seeing = queries_left(b, seeing, {j0, j0 + block});
    const bool is_seen = block > 0 && seeing.size() > 0;
    const Index written = want_dkv ? min(kStripBlock, key_range.end - j0) : 0;
    clear(dk_rows, written * ld);
    clear(dv_rows, written * ld);
    for (Index c = 0; is_seen && c < block; c += kStrip) {
      const Index count = min(kStrip, block - c);
      load_transposed(k.at(b, j0 + c, g), k.stride[1], count, D, k_t + c * words_of(D), kStrip);
      load_transposed(v.at(b, j0 + c, g), v.stride[1], count, D, v_t + c * words_of(D), kStrip);
    }
    if (is_seen && want_dq) load_columns(k.at(b, j0, g), k.stride[1], block, D, k_columns);

    for (Index h = heads.begin; is_seen && h < heads.end; ++h)
      for (Index i0 = seeing.begin; i0 < seeing.end; i0 += kBlock) {
        const Index count_i = min(kBlock, seeing.end - i0);
        if (is_masked && queries_left(b, {i0, i0 + count_i}, {j0, j0 + block}).size() <= 0) continue;
        if (kPairs) {
          load_rows(q.at(b, i0, h), q.stride[1], count_i, D, q_rows, ldw);
          load_rows(dy.at(b, i0, h), dy.stride[1], count_i, D, dy_rows, ldw);
        }
        if (want_dkv || !kPairs) {
          load_columns(q.at(b, i0, h), q.stride[1], count_i, D, q_columns);
          load_columns(dy.at(b, i0, h), dy.stride[1], count_i, D, dy_columns);
        }
        row_products(dy.at(b, i0, h), dy.stride[1], y.at(b, i0, h), y.stride[1], count_i, D, delta);
        for (Index r = 0; r < count_i; ++r) lse2[r] = *lse.at(b, h, i0 + r) * kLog2e;
        for (Index r = 0; is_masked && r < count_i; ++r) lse2[r] = lse2[r] == -kInfinity ? kNoKey : lse2[r];
        for (Index c = 0; c < block; c += kStrip) {
          const Index j = j0 + c, count = min(kStrip, block - c);
          Range rows = depths(queries_seeing(j, i0), 0, count, count_i);
          if (is_masked && rows.size() > 0)
            rows = whole_words(queries_left(b, {i0, i0 + count_i}, {j, j + count}), i0, rows);
          if (rows.size() <= 0) continue;
          const Index i = i0 + rows.begin, word = rows.begin / kWordElements;
          const Band seeing_j = queries_seeing(j, i);
          const Scores tile = {rows.size(), padded(count), seeing_j};
          tile.multiply(D, q_rows + rows.begin * ldw, ldw, k_t + c * words_of(D), p);
          tile.multiply(D, dy_rows + rows.begin * ldw, ldw, v_t + c * words_of(D), ds);
          if (is_masked) mask<false>(tile, b, h, i, j, tile.rows, p);
          weights(tile, b, h, i, j, keys, is_masked ? 1 : scale * kLog2e, lse2 + rows.begin,
                  delta + rows.begin, random, p, ds, ds_rows);
          if (want_dkv) {
            multiply<true>(count, ld, tile.rows, p, kStrip, dy_columns + word * ld, ld, dv_rows + c * ld, ld,
                           true, seeing_j);
            multiply<true>(count, ld, tile.rows, ds, kStrip, q_columns + word * ld, ld, dk_rows + c * ld, ld,
                           true, seeing_j);
          }
          if (want_dq) {
            const Index row = (h - heads.begin) * queries.size() + i - queries.begin;
            multiply<false>(tile.rows, ld, count, ds_rows, kStripWords, k_columns + c / kWordElements * ld,
                            ld, dq_rows + row * ld, ld, true, keys_seen(i, j));
          }
        }
      }

    for (Index j = 0; j < written; ++j) {
      store_row(dk_rows + j * ld, D, scale, dk.at(b, j0 + j, g));
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
void attention_backward(In dy, In q, In k, In v, IdsOpt lengths, IdsOpt starts, In32Opt slopes, IdsOpt blocks,
                        In y, In32 lse, Out dq, Out dk, Out dv, float scale, Index causal, Index window,
                        Index blockSize, float dropout, Index seed, Index position) {
  const Masks masks{starts, slopes, blocks, blockSize};
  const Backward the{{q, k, lengths, masks, scale, causal, window, dropout, seed, position},
                     dy,
                     q,
                     k,
                     v,
                     y,
                     lse,
                     dq,
                     dk,
                     dv};
  if (!the.sound() || the.B == 0 || the.D == 0 || (the.T == 0 && the.S == 0)) return;
  constexpr Index kFewHeads = 4, kMaxFloats = Index{1} << 25, kQueries = 256;
  const Index T = the.T, S = the.S, G = the.G, group = the.H / G;
  const auto heads = [&](Index g) { return Range{g * group, (g + 1) * group}; };
  if (the.B * G >= kFewHeads && T <= kMaxFloats / the.row_length() / max(group, 1)) {
    parallel(the.B * G, [&](Index chunk) {
      if (the.is_far() && chunk + 1 < the.B * G) the.prefetch((chunk + 1) / G, (chunk + 1) % G);
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
