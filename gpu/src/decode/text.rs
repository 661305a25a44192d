//! The text of an answer while its tokens arrive: whole characters only, and no part of a stop text. (`MO-5`)

use tokenizers::Tokenizer;

use crate::engine::EngineError;

/// Most stop texts in a request.
const STOPS_MAX: usize = 16;

/// Longest stop text, in bytes.
const STOP_BYTES_MAX: usize = 256;

/// Tokens that a split character may span; text that is still broken after that is broken for good.
const SPLIT_TOKENS_MAX: usize = 8;

/// Turns tokens into text, piece by piece.
///
/// Decoders look at neighbours (spaces between words, characters split over tokens), so a piece is the difference between
/// two decodings that begin a little earlier.
#[derive(Debug)]
pub(super) struct TextStream {
    stops: Vec<String>,
    /// Tokens decoded together: the first `given` have given their text, the others have not.
    window: Vec<u32>,
    given: usize,
    /// Text that may be the beginning of a stop text.
    held: String,
}

impl TextStream {
    pub(super) fn new(stops: &[String]) -> Result<Self, EngineError> {
        if stops.len() > STOPS_MAX {
            let count = stops.len();
            return Err(EngineError::TooMany { what: "stop strings", count, limit: STOPS_MAX });
        }
        if stops.iter().any(|stop| stop.is_empty() || stop.len() > STOP_BYTES_MAX) {
            return Err(EngineError::BadStop { limit: STOP_BYTES_MAX });
        }
        Ok(Self { stops: stops.to_vec(), window: Vec::new(), given: 0, held: String::new() })
    }

    /// Takes the next token; returns the text that is now certain, and whether a stop text ended the answer.
    pub(super) fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<(String, bool), EngineError> {
        self.window.push(id);
        let piece = self.next_piece(tokenizer)?;
        self.held.push_str(&piece);
        let first_stop = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = first_stop {
            self.held.truncate(at);
            return Ok((self.rest(), true));
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let certain = self.held.len() - keep;
        Ok((self.held.drain(..certain).collect(), false))
    }

    /// Returns the text that was held back, now that no token follows; a split character is dropped.
    pub(super) fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    fn next_piece(&mut self, tokenizer: &Tokenizer) -> Result<String, EngineError> {
        let decode = |ids: &[u32]| {
            // The library's message may quote the text.
            tokenizer
                .decode(ids, true)
                .map_err(|_| EngineError::Runtime("tokens could not be decoded".to_owned()))
        };
        let before = decode(&self.window[..self.given])?;
        let now = decode(&self.window)?;
        let split = now.ends_with(char::REPLACEMENT_CHARACTER);
        if split && self.window.len() - self.given < SPLIT_TOKENS_MAX {
            return Ok(String::new());
        }
        let common =
            before.chars().zip(now.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        self.window.drain(..self.given);
        self.given = self.window.len();
        Ok(now[common..].to_owned())
    }
}

/// Returns the length of the longest end of `text` that is a beginning of `stop`, the whole of `stop` excluded.
fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices().map(|(at, _)| at).rev().find(|&length| text.ends_with(&stop[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn tokenizer() -> Tokenizer {
        Tokenizer::from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/models/chat/tokenizer.json")).unwrap()
    }

    /// Returns the pieces of a text whose tokens are its bytes, and whether it was stopped.
    fn pieces(text: &[u8], stops: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let (mut stream, tokenizer, mut pieces) = (TextStream::new(&stops).unwrap(), tokenizer(), Vec::new());
        for &byte in text {
            let (piece, stopped) = stream.push(&tokenizer, u32::from(byte)).unwrap();
            pieces.push(piece);
            if stopped {
                return (pieces, true);
            }
        }
        pieces.push(stream.rest());
        (pieces, false)
    }

    #[test]
    fn a_split_character_comes_whole() {
        let (pieces, _) = pieces("aé✓ 😀b".as_bytes(), &[]);
        assert_eq!(pieces, ["a", "", "é", "", "", "✓", " ", "", "", "", "😀", "b", ""]);
    }

    #[test]
    fn bytes_that_never_become_text_do_not_hold_it_up() {
        let (pieces, _) = pieces(&[0xff; 20], &[]);
        assert!(pieces.concat().chars().count() >= 16);
    }

    #[test]
    fn a_stop_text_is_held_back_and_cut() {
        assert_eq!(pieces(b"one END two", &["END"]).0.concat(), "one ");
        assert!(pieces(b"one END", &["x", "END"]).1);
        let (held, stopped) = pieces(b"EN ENN", &["END"]);
        assert_eq!(held, ["", "", "EN ", "", "", "ENN", ""].map(str::to_owned).as_slice());
        assert!(!stopped);
        assert_eq!(pieces("né".as_bytes(), &["é!"]).0.concat(), "né");
    }

    #[test]
    fn the_first_of_two_stop_texts_counts() {
        assert_eq!(pieces(b"a b c", &[" c", " b"]).0.concat(), "a");
    }

    /// (MO-5)
    #[test]
    fn tokens_become_the_text_of_the_specification() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../spec/vectors/models/answers.json")).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() >= 15);
        let tokenizer = tokenizer();
        for case in cases {
            let numbers = |field: &str| -> Vec<u32> { serde_json::from_value(case[field].clone()).unwrap() };
            let (ids, end_ids) = (numbers("ids"), numbers("end_ids"));
            let stops: Vec<String> = serde_json::from_value(case["stop"].clone()).unwrap();
            let mut stream = TextStream::new(&stops).unwrap();
            let (mut text, mut tokens, mut stopped) = (String::new(), 0, false);
            for id in ids {
                tokens += 1;
                stopped = end_ids.contains(&id);
                if !stopped {
                    let (piece, stops) = stream.push(&tokenizer, id).unwrap();
                    text.push_str(&piece);
                    stopped = stops;
                }
                if stopped {
                    break;
                }
            }
            text.push_str(&stream.rest());
            let expected = (case["text"].as_str().unwrap(), case["tokens"].as_u64().unwrap());
            assert_eq!((text.as_str(), tokens), expected, "{}", case["name"]);
            assert_eq!(stopped, case["finish"] == "Stop", "{}", case["name"]);
        }
    }

    #[test]
    fn stop_texts_have_limits() {
        let refused = |stops: Vec<String>| {
            matches!(TextStream::new(&stops), Err(EngineError::BadStop { .. } | EngineError::TooMany { .. }))
        };
        assert!(refused(vec![String::new()]));
        assert!(refused(vec!["x".repeat(257)]));
        assert!(refused(vec!["x".to_owned(); 17]));
        assert!(!refused(vec!["x".repeat(256); 16]));
    }

    proptest! {
        #[test]
        fn the_pieces_make_up_the_text_before_the_first_stop(text in "[ab✓é😀 ]{0,30}", stop in "[ab✓é]{1,3}") {
            let (pieces, stopped) = pieces(text.as_bytes(), &[&stop]);
            prop_assert_eq!(pieces.concat(), text.split(&stop).next().unwrap());
            prop_assert_eq!(stopped, text.contains(&stop));
        }
    }
}
