//! How long the answers of one output class are: many short jobs of one client are still one client's.

use crate::ident::{NodeId, Origin, Prefix};
use crate::limits;

/// A job's weight in what is known of a client: one part in so many.
const MEMORY: u64 = 16;
/// Jobs after which a client has its full voice. What is assumed beforehand counts as so many less those that are known.
const JOBS_VOICE: u64 = 4;
/// Divides evenly among as many voices as a prefix may have.
const WHOLE: u64 = 12;

/// The answers to tasks of one model and output class, by client.
#[derive(Debug, Default)]
pub(super) struct ClassAnswers {
    /// The client whose job ended last is the last.
    voices: Vec<Voice>,
}

/// What is known of one client's answers.
#[derive(Debug)]
struct Voice {
    client: NodeId,
    prefix: Prefix,
    /// Output tokens of as many of its newest jobs.
    tokens: u64,
    jobs: u64,
}

impl ClassAnswers {
    /// Returns whether enough is known that nothing is assumed any more.
    pub(super) fn is_settled(&self) -> bool {
        self.voices.iter().map(|voice| voice.jobs).sum::<u64>() >= JOBS_VOICE
    }

    /// Returns the mean answer, where `unknown` is assumed as long as little is known. Each client has a voice, and all of a prefix
    /// have one together. (`MK-5`)
    pub(super) fn mean(&self, unknown: u64) -> u64 {
        let (mut sum, mut weights) = (0u128, 0u64);
        for voice in &self.voices {
            let sharers = self.voices.iter().filter(|other| other.prefix == voice.prefix).count() as u64;
            let whole = WHOLE.checked_div(sharers).unwrap_or(WHOLE);
            let weight = voice.jobs.min(JOBS_VOICE).saturating_mul(whole);
            let mean = voice.tokens.checked_div(voice.jobs).unwrap_or(0);
            sum = sum.saturating_add(u128::from(mean).saturating_mul(u128::from(weight)));
            weights = weights.saturating_add(weight);
        }
        let assumed = JOBS_VOICE.saturating_mul(WHOLE).saturating_sub(weights);
        sum = sum.saturating_add(u128::from(unknown).saturating_mul(u128::from(assumed)));
        let mean = sum.checked_div(u128::from(weights.saturating_add(assumed)));
        mean.and_then(|mean| u64::try_from(mean).ok()).unwrap_or(u64::MAX)
    }

    /// Learns the length of an answer.
    pub(super) fn learn(&mut self, origin: Origin, output_tokens: u64) {
        let known = self.voices.iter().position(|voice| voice.client == origin.node);
        let unheard = Voice { client: origin.node, prefix: origin.prefix, tokens: 0, jobs: 0 };
        let mut voice = known.map_or(unheard, |place| self.voices.remove(place));
        if voice.jobs < MEMORY {
            voice.jobs = voice.jobs.saturating_add(1);
        } else {
            voice.tokens = voice.tokens.saturating_sub(voice.tokens / MEMORY);
        }
        voice.tokens = voice.tokens.saturating_add(output_tokens);
        voice.prefix = origin.prefix;
        let of_prefix = self.voices.iter().filter(|other| other.prefix == origin.prefix).count();
        if of_prefix >= limits::VOICES_PER_PREFIX_MAX {
            let oldest = self.voices.iter().position(|other| other.prefix == origin.prefix);
            oldest.map(|place| self.voices.remove(place));
        } else if self.voices.len() >= limits::VOICES_MAX {
            self.voices.remove(0);
        }
        self.voices.push(voice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: u64 = 256;

    fn origin(client: u64, net: u8) -> Origin {
        let mut node = [0; 32];
        node[..8].copy_from_slice(&client.to_le_bytes());
        Origin { node: NodeId(node), prefix: Prefix::of_ipv4([10, 0, net, 1]) }
    }

    /// Eight clients of as many prefixes whose answers have 128 tokens.
    fn honest() -> ClassAnswers {
        let mut answers = ClassAnswers::default();
        for client in 0..8u8 {
            (0..4).for_each(|_| answers.learn(origin(client.into(), client), 128));
        }
        answers
    }

    /// (`MK-5`)
    #[test]
    fn the_mean_follows_the_answers_that_there_are() {
        let mut answers = ClassAnswers::default();
        assert_eq!(answers.mean(UNKNOWN), UNKNOWN);
        let means = [224, 192, 160, 128, 128].map(|_| {
            answers.learn(origin(1, 1), 128);
            answers.mean(UNKNOWN)
        });
        assert_eq!(
            means,
            [224, 192, 160, 128, 128],
            "what is assumed has less weight with each of four jobs"
        );
        (0..200).for_each(|_| answers.learn(origin(1, 1), 900));
        assert!(answers.mean(UNKNOWN) > 880, "{}", answers.mean(UNKNOWN));
        assert_eq!(honest().mean(UNKNOWN), 128);
    }

    /// (`MK-5`)
    #[test]
    fn an_attacker_s_thousand_short_jobs_are_one_voice_by_one_key_or_by_a_hundred_of_one_prefix() {
        for keys in [1, 4, 100] {
            let mut answers = honest();
            (0..10_000).for_each(|job| answers.learn(origin(1_000 + job % keys, 99), 1));
            let mean = answers.mean(UNKNOWN);
            assert!(mean >= 128 * 8 / 9, "{keys} keys: {mean}");
        }
    }

    /// (`CO-4`)
    #[test]
    fn as_many_clients_are_remembered_as_may_be() {
        let mut answers = ClassAnswers::default();
        for client in 0..1_000u64 {
            answers.learn(origin(client, client.to_le_bytes()[0]), u64::MAX);
            answers.learn(origin(client, client.to_le_bytes()[0]), u64::MAX);
        }
        assert_eq!(answers.voices.len(), limits::VOICES_MAX);
        assert!(answers.mean(u64::MAX) > 0);
    }
}
