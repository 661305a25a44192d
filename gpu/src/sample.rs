//! The sampler `bombyx-sampler-1`: logits, parameters, seed and position give one token, the same one everywhere.
//! (`WR-15`)
//!
//! It stands outside the graph so that an auditor who recomputes the logits can recompute the choice. After the first
//! step everything is integer arithmetic, so a second implementation agrees bit for bit on equal logits.
//!
//! # Definition
//!
//! Inputs: `logit[0..n]` (IEEE 754 single precision, `1 ≤ n ≤ 2^21`), `temperature_milli`, `top_p_milli`, `top_k`,
//! `seed` (64 bits) and `position` (64 bits: the index of the token within the answer, 0 for the first, counting tokens
//! that were forced from a prefix). NaN and `+∞` are errors; `-∞` marks an impossible token; at least one token must be
//! possible. The id of a token is its index.
//!
//! 1. **Quantise.** `x[i] = round(logit[i] · 2^16)`, exact product, ties to even, clamped to `±2^40`; an impossible token
//!    leaves here. `d[i] = max(x) - x[i]`.
//! 2. **Rank.** Tokens are ranked by smaller `d`, then by smaller id. If `temperature_milli = 0` the first is the result.
//! 3. **Weigh.** `e = floor(d[i] · 1000 / temperature_milli)`; `y = floor(e · 6196328019 / 2^32)` (the constant is
//!    `round(log2(e) · 2^32)`); `k = floor(y / 2^16)`, `f = y mod 2^16`. `w[i] = floor(P(f) / 2^k)`, where `P(f)` is
//!    `2^(-f/2^16)` in units of `2^-32`: with `C[b] = round(2^32 · 2^(-2^b / 2^16))` for bits `b = 0..15` (the table
//!    `HALVINGS` of the source), `H` starts at `2^32` and is multiplied by `C[b]` for each bit `b` of `f` that is set among 15, 14, … 8 in
//!    this order, `L` likewise for 7, 6, … 0, each product as `floor((a · b + 2^31) / 2^32)`; `P = floor((H · L + 2^31) / 2^32)`.
//!    Tokens of weight 0 leave here (and those with `k ≥ 33`, whose weight is 0).
//! 4. **Top-k.** If `top_k > 0`, only the first `top_k` tokens by rank stay.
//! 5. **Top-p.** If `top_p_milli < 1000`, with `W` the sum of the weights left, the shortest run of first tokens by rank
//!    stays whose weights `S` satisfy `1000 · S ≥ top_p_milli · W`; always at least one token.
//! 6. **Draw.** `r` is the first 8 bytes, little endian, of BLAKE3 of the 32 bytes `"bombyx-sampler-1"`, `seed`,
//!    `position` (both little endian). `t = floor(r · S / 2^64)` with `S` the sum of the weights left. The result is the
//!    first token **in order of id** for which the running sum of weights exceeds `t`.

use crate::engine::Sampling;

/// Names this definition in manifests and receipts.
pub const SAMPLER_ID: &str = "bombyx-sampler-1";

/// Longest list of logits.
pub const VOCABULARY_MAX: usize = 1 << 21;

/// Largest quantised logit, either sign.
const LIMIT: f64 = (1u64 << 40) as f64;

/// `round(log2(e) · 2^32)`.
const LOG2_E: u128 = 6_196_328_019;

/// `C[b] = round(2^32 · 2^(-2^b / 2^16))`.
const HALVINGS: [u64; 16] = [
    4294921870, 4294876445, 4294785595, 4294603903, 4294240540, 4293513907, 4292061010, 4289156690,
    4283353945, 4271771996, 4248701965, 4202935003, 4112874773, 3938502376, 3611622603, 3037000500,
];

/// `H` and `L` of the definition for every byte.
const HIGH: [u64; 256] = products(8);
const LOW: [u64; 256] = products(0);

const fn products(first_bit: usize) -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut product = 1 << 32;
        let mut bit = 8;
        while bit > 0 {
            bit -= 1;
            if byte >> bit & 1 == 1 {
                product = times(product, HALVINGS[first_bit + bit]);
            }
        }
        table[byte] = product;
        byte += 1;
    }
    table
}

/// Returns the product of two numbers in units of `2^-32`, neither above one.
const fn times(a: u64, b: u64) -> u64 {
    ((a as u128 * b as u128 + (1 << 31)) >> 32) as u64
}

/// Why no token could be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// No logits, or more than [`VOCABULARY_MAX`].
    #[error("{0} logits where 1 to 2097152 are sampled; the graph's vocabulary is wrong")]
    Vocabulary(usize),
    /// A logit is NaN or plus infinity.
    #[error("the logit of token {0} is not a number; the graph or its precision is broken")]
    NotANumber(usize),
    /// Every logit is minus infinity.
    #[error("no token is possible; the graph or its mask is broken")]
    NothingPossible,
}

/// A token that can still be chosen. The derived order is the rank of the definition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    distance: u64,
    id: u32,
    weight: u64,
}

/// Chooses the token at `position` of the answer, as the [module](self) defines it.
///
/// # Errors
/// [`SampleError`], for logits that no sound graph gives.
pub fn sample(logits: &[f32], sampling: &Sampling, position: u64) -> Result<u32, SampleError> {
    let quantised = quantise(logits)?;
    let (best, largest) = quantised
        .iter()
        .enumerate()
        .filter_map(|(id, &x)| Some((id as u32, x?)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .ok_or(SampleError::NothingPossible)?;
    if sampling.temperature_milli == 0 {
        return Ok(best);
    }
    let mut kept: Vec<Candidate> = quantised
        .iter()
        .enumerate()
        .filter_map(|(id, &x)| {
            let distance = largest.abs_diff(x?);
            let weight = weight(distance, sampling.temperature_milli);
            (weight > 0).then_some(Candidate { distance, id: id as u32, weight })
        })
        .collect();
    keep_top_k(&mut kept, sampling.top_k);
    keep_top_p(&mut kept, sampling.top_p_milli);
    kept.sort_unstable_by_key(|candidate| candidate.id);
    Ok(draw(&kept, sampling.seed, position))
}

/// Does step 1; `None` is an impossible token.
fn quantise(logits: &[f32]) -> Result<Vec<Option<i64>>, SampleError> {
    if logits.is_empty() || logits.len() > VOCABULARY_MAX {
        return Err(SampleError::Vocabulary(logits.len()));
    }
    logits
        .iter()
        .enumerate()
        .map(|(id, &logit)| match f64::from(logit) {
            x if x.is_nan() || x == f64::INFINITY => Err(SampleError::NotANumber(id)),
            f64::NEG_INFINITY => Ok(None),
            x => Ok(Some((x * 65536.0).round_ties_even().clamp(-LIMIT, LIMIT) as i64)),
        })
        .collect()
}

/// Does step 3, in units of `2^-32`.
fn weight(distance: u64, temperature_milli: u32) -> u64 {
    let scaled = u128::from(distance) * 1000 / u128::from(temperature_milli);
    let halvings = (scaled * LOG2_E) >> 32;
    let fraction = (halvings & 0xffff) as usize;
    match halvings >> 16 {
        whole @ 0..=32 => times(HIGH[fraction >> 8], LOW[fraction & 0xff]) >> whole,
        _ => 0,
    }
}

/// Does step 4.
fn keep_top_k(kept: &mut Vec<Candidate>, top_k: u32) {
    let k = top_k as usize;
    if k > 0 && k < kept.len() {
        kept.select_nth_unstable(k - 1);
        kept.truncate(k);
    }
}

/// Does step 5.
fn keep_top_p(kept: &mut Vec<Candidate>, top_p_milli: u32) {
    if top_p_milli >= 1000 {
        return;
    }
    kept.sort_unstable();
    let wanted = u128::from(total(kept)) * u128::from(top_p_milli);
    let mut sum = 0u128;
    let nucleus = kept.iter().take_while(|candidate| {
        let missing = sum * 1000 < wanted;
        sum += u128::from(candidate.weight);
        missing
    });
    let length = nucleus.count().max(1);
    kept.truncate(length);
}

/// Sums at most `2^21` weights of at most `2^32` each.
fn total(kept: &[Candidate]) -> u64 {
    kept.iter().map(|candidate| candidate.weight).sum()
}

/// Does step 6. `kept` is in order of id and never empty, because the likeliest token has the full weight and passes every
/// cut.
fn draw(kept: &[Candidate], seed: u64, position: u64) -> u32 {
    let hash = blake3::Hasher::new()
        .update(SAMPLER_ID.as_bytes())
        .update(&seed.to_le_bytes())
        .update(&position.to_le_bytes())
        .finalize();
    let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    let threshold = (u128::from(u64::from_le_bytes(*first)) * u128::from(total(kept))) >> 64;
    let mut sum = 0u128;
    kept.iter()
        .find(|candidate| {
            sum += u128::from(candidate.weight);
            sum > threshold
        })
        .expect("the threshold is below the sum of all weights")
        .id
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn sampling(temperature_milli: u32, top_p_milli: u32, top_k: u32, seed: u64) -> Sampling {
        Sampling { temperature_milli, top_p_milli, top_k, seed }
    }

    #[test]
    fn the_tables_hold_powers_of_two() {
        for (bit, &c) in HALVINGS.iter().enumerate() {
            let exact = (2f64.powi(32) * (-(f64::from(1 << bit)) / 65536.0).exp2()).round();
            assert_eq!(c, exact as u64, "bit {bit}");
        }
        assert_eq!(LOG2_E, (std::f64::consts::LOG2_E * 2f64.powi(32)).round() as u128);
        for fraction in 0..65536usize {
            let ours = times(HIGH[fraction >> 8], LOW[fraction & 0xff]) as f64;
            let exact = 2f64.powi(32) * (-(fraction as f64) / 65536.0).exp2();
            assert!((ours - exact).abs() < 8.0, "{fraction}: {ours} {exact}");
        }
    }

    #[test]
    fn greedy_takes_the_likeliest_and_the_lowest_id_of_equals() {
        let greedy = Sampling::GREEDY;
        assert_eq!(sample(&[0.0, 2.0, 1.0], &greedy, 0), Ok(1));
        assert_eq!(sample(&[1.0, 3.0, 3.0], &greedy, 0), Ok(1));
        // Closer than 2^-17 is equal.
        assert_eq!(sample(&[1.0, 1.000_001], &greedy, 0), Ok(0));
        assert_eq!(sample(&[f32::NEG_INFINITY, -5.0], &greedy, 0), Ok(1));
        assert_eq!(sample(&[f32::MIN, f32::MAX], &greedy, 0), Ok(1));
    }

    #[test]
    fn logits_of_a_broken_graph_are_errors() {
        let any = sampling(1000, 1000, 0, 1);
        assert_eq!(sample(&[], &any, 0), Err(SampleError::Vocabulary(0)));
        assert_eq!(sample(&[0.0, f32::NAN], &any, 0), Err(SampleError::NotANumber(1)));
        assert_eq!(sample(&[f32::INFINITY], &any, 0), Err(SampleError::NotANumber(0)));
        assert_eq!(sample(&[f32::NEG_INFINITY; 3], &any, 0), Err(SampleError::NothingPossible));
    }

    #[derive(serde::Deserialize)]
    struct Vectors {
        sampler: String,
        log2_e: u64,
        halvings: [u64; 16],
        vectors: Vec<Vector>,
    }

    #[derive(serde::Deserialize)]
    struct Vector {
        logits: Vec<Option<f32>>,
        temperature_milli: u32,
        top_p_milli: u32,
        top_k: u32,
        seed: String,
        position: String,
        id: u32,
    }

    /// The vectors are computed in exact fractions by a program that shares nothing with this one. (`WR-15`)
    #[test]
    fn the_choices_are_those_of_the_specification() {
        let file: Vectors = serde_json::from_str(include_str!("../../spec/vectors/sampler.json")).unwrap();
        assert_eq!(
            (file.sampler.as_str(), u128::from(file.log2_e), file.halvings),
            (SAMPLER_ID, LOG2_E, HALVINGS)
        );
        assert!(file.vectors.len() >= 100);
        for (index, v) in file.vectors.into_iter().enumerate() {
            let logits: Vec<f32> = v.logits.into_iter().map(|x| x.unwrap_or(f32::NEG_INFINITY)).collect();
            let sampling = sampling(v.temperature_milli, v.top_p_milli, v.top_k, v.seed.parse().unwrap());
            assert_eq!(sample(&logits, &sampling, v.position.parse().unwrap()), Ok(v.id), "vector {index}");
        }
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0.0f32, 1.0, 2.0, -1.0];
        let s = sampling(1000, 1000, 0, 99);
        let mut seen = [0u32; 4];
        for position in 0..20_000 {
            seen[sample(&logits, &s, position).unwrap() as usize] += 1;
        }
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        for (count, &logit) in seen.iter().zip(&logits) {
            let expected = f64::from(logit).exp() / sum;
            // Five standard deviations of a fixed sequence: passes or fails for good.
            let tolerance = 5.0 * (expected * (1.0 - expected) / 20_000.0).sqrt();
            assert!((f64::from(*count) / 20_000.0 - expected).abs() < tolerance, "{seen:?}");
        }
    }

    proptest! {
        #[test]
        fn the_choice_is_always_one_of_the_k_likeliest(
            logits in prop::collection::vec(-20f32..20.0, 1..300), k in 1u32..10, t in 1u32..3000, p in 0u32..1100,
            seed: u64, position: u64,
        ) {
            let id = sample(&logits, &sampling(t, p, k, seed), position).unwrap() as usize;
            let quantised = quantise(&logits).unwrap();
            let better = (0..logits.len())
                .filter(|&i| (quantised[i], std::cmp::Reverse(i)) > (quantised[id], std::cmp::Reverse(id)))
                .count();
            prop_assert!(better < k as usize);
        }

        #[test]
        fn adding_a_constant_to_quantised_logits_changes_nothing(
            steps in prop::collection::vec(-2000i32..2000, 1..100), shift in -4000i32..4000, seed: u64,
        ) {
            let s = sampling(900, 950, 40, seed);
            let at = |by: i32| steps.iter().map(|&x| (x + by) as f32 / 64.0).collect::<Vec<_>>();
            prop_assert_eq!(sample(&at(0), &s, 3), sample(&at(shift), &s, 3));
        }

        #[test]
        fn one_token_is_left_when_the_nucleus_is_empty(logits in prop::collection::vec(-9f32..9.0, 1..50), seed: u64) {
            let greedy = sample(&logits, &Sampling::GREEDY, 0).unwrap();
            prop_assert_eq!(sample(&logits, &sampling(1000, 0, 0, seed), 5).unwrap(), greedy);
        }

        #[test]
        fn no_logits_make_it_panic(bits in prop::collection::vec(any::<u32>(), 0..40), t: u32, p: u32, k: u32, seed: u64) {
            let logits: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            if let Ok(id) = sample(&logits, &sampling(t, p, k, seed), seed) {
                prop_assert!((id as usize) < logits.len());
            }
        }
    }
}
