//! Files of requests as they were made to a real service: when, how long the prompt, how long the answer.
//!
//! CSV with a line of names, or one JSON object a line. The names are those of the public traces (Azure: `TIMESTAMP`,
//! `ContextTokens`, `GeneratedTokens`; BurstGPT: `Timestamp`, `Request tokens`, `Response tokens`) or plain ones
//! (`time_s`, `prompt_tokens`, `answer_tokens`), whatever their case and order; other columns are passed over. A time is
//! a number of seconds or a date and time; only differences count.

use std::fmt;
use std::fs;
use std::sync::Arc;

use bombyx_protocol::time::Span;

use crate::scenario::{Request, Scenario};

/// The most requests of a file.
pub const REQUESTS_MAX: usize = 5_000_000;
/// The most tokens of one prompt or answer.
const TOKENS_MAX: f64 = 10_000_000.0;

/// Why a file of requests is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RequestsError {
    /// The file.
    pub file: String,
    /// The line, counted from 1, where one is at fault.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for RequestsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Time,
    Prompt,
    Answer,
}

const FIELDS: [(Field, &str, &[&str]); 3] = [
    (Field::Time, "a time", &["time_s", "timestamp", "time", "at_s", "arrived_at"]),
    (
        Field::Prompt,
        "prompt tokens",
        &["prompt_tokens", "contexttokens", "request tokens", "input_tokens", "input_length"],
    ),
    (
        Field::Answer,
        "answer tokens",
        &["answer_tokens", "generatedtokens", "response tokens", "output_tokens", "output_length"],
    ),
];

impl Field {
    fn named(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        FIELDS.iter().find(|(_, _, names)| names.contains(&name.as_str())).map(|(field, ..)| *field)
    }
}

/// Reads the file of a scenario's trace, if it has one, and notes its hash.
///
/// # Errors
/// [`RequestsError`] when it cannot be read, a line is wrong, or it is not the file that a hash in the scenario names.
pub fn load(scenario: &mut Scenario) -> Result<(), RequestsError> {
    let Some(trace) = &mut scenario.workload.trace else { return Ok(()) };
    let error = |what: String| RequestsError { file: trace.file.clone(), line: None, what };
    let text = fs::read_to_string(&trace.file).map_err(|why| error(format!("cannot be read: {why}")))?;
    let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
    if !trace.hash.is_empty() && trace.hash != hash {
        return Err(error(format!("its content has changed: it has hash {hash}, and had {}", trace.hash)));
    }
    let requests = parse(&trace.file, &text)?;
    trace.requests = Arc::new(requests);
    trace.hash = hash;
    Ok(())
}

/// Returns the requests of a file, in its order.
///
/// # Errors
/// [`RequestsError`] names the line.
pub fn parse(file: &str, text: &str) -> Result<Vec<Request>, RequestsError> {
    let error = |line: Option<usize>, what: String| RequestsError { file: file.to_owned(), line, what };
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).peekable();
    let (first, head) = *lines.peek().ok_or_else(|| error(None, "it holds no requests".into()))?;
    let columns = if head.trim_start().starts_with('{') {
        None
    } else {
        lines.next();
        Some(columns(head).map_err(|what| error(Some(first), what))?)
    };
    let mut requests = Vec::new();
    let mut start_s = None;
    let mut latest_s = f64::NEG_INFINITY;
    for (number, line) in lines {
        let at_line = |what: String| error(Some(number), what);
        let values = match &columns {
            Some(columns) => row(columns, line),
            None => object(line),
        };
        let [time, prompt, answer] = values.map_err(at_line)?;
        let time_s = seconds(&time).map_err(at_line)?;
        if time_s < latest_s {
            return Err(at_line(format!("time goes back to {time:?}; sort the file by time")));
        }
        latest_s = time_s;
        let since_s = time_s - *start_s.get_or_insert(time_s);
        requests.push(Request {
            at: Span((since_s * 1e6) as u64),
            prompt: tokens(&prompt).map_err(at_line)?,
            answer: tokens(&answer).map_err(at_line)?,
        });
        if requests.len() > REQUESTS_MAX {
            return Err(at_line(format!("more than {REQUESTS_MAX} requests")));
        }
    }
    if requests.is_empty() { Err(error(None, "it holds no requests".into())) } else { Ok(requests) }
}

/// Returns which column holds which field.
fn columns(head: &str) -> Result<[usize; 3], String> {
    let names: Vec<Option<Field>> = head.split(',').map(Field::named).collect();
    let mut places = [0; 3];
    for (place, (field, what, known)) in places.iter_mut().zip(FIELDS) {
        *place = names
            .iter()
            .position(|name| *name == Some(field))
            .ok_or_else(|| format!("no column for {what}; it may be called {}", known.join(", ")))?;
    }
    Ok(places)
}

fn row(columns: &[usize; 3], line: &str) -> Result<[String; 3], String> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let cell = |place: usize| {
        cells
            .get(place)
            .map(|cell| (*cell).to_owned())
            .ok_or_else(|| format!("{} columns where {} are needed", cells.len(), place + 1))
    };
    Ok([cell(columns[0])?, cell(columns[1])?, cell(columns[2])?])
}

fn object(line: &str) -> Result<[String; 3], String> {
    let value: serde_json::Value =
        serde_json::from_str(line).map_err(|error| format!("no JSON object: {error}"))?;
    let object = value.as_object().ok_or("no JSON object")?;
    let mut values = [const { String::new() }; 3];
    for (value, (field, what, known)) in values.iter_mut().zip(FIELDS) {
        let (_, found) = object
            .iter()
            .find(|(key, _)| Field::named(key) == Some(field))
            .ok_or_else(|| format!("no key for {what}; it may be called {}", known.join(", ")))?;
        *value = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    }
    Ok(values)
}

fn tokens(text: &str) -> Result<u32, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number of tokens"))?;
    if (0.0..=TOKENS_MAX).contains(&number) {
        Ok(number as u32)
    } else {
        Err(format!("{text} tokens; there are 0 to {TOKENS_MAX}"))
    }
}

/// Seconds from any fixed moment.
fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.or_else(|| calendar(text)).ok_or_else(|| {
        format!("{text:?} is no time: give seconds, or a date and time such as 2023-11-16 18:17:03.98")
    })
}

/// Seconds of `YYYY-MM-DD hh:mm:ss.f` since 1970, zones left out of account.
fn calendar(text: &str) -> Option<f64> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let time = time.trim_end_matches('Z').split('+').next()?;
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (time.next()?.parse::<f64>().ok()?, time.next()?.parse::<f64>().ok()?);
    let second = time.next()?.parse::<f64>().ok()?;
    let is_possible = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (1_900..=9_999).contains(&year)
        && (0.0..24.0).contains(&hour)
        && (0.0..60.0).contains(&minute)
        && (0.0..61.0).contains(&second);
    // Days from the civil calendar, years beginning in March so that leap days come last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    is_possible.then_some(days as f64 * 86_400.0 + hour * 3_600.0 + minute * 60.0 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(requests: &[Request]) -> Vec<(u64, u32, u32)> {
        requests.iter().map(|of| (of.at.as_ms(), of.prompt, of.answer)).collect()
    }

    #[test]
    fn the_public_traces_and_plain_files_are_read() {
        let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n\
                     2023-11-16 18:17:04.0319600,110,27\n";
        assert_eq!(ms(&parse("a.csv", azure).expect("Azure's")), [(0, 4_808, 10), (52, 110, 27)]);
        let burst = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
                     5,ChatGPT,472,18,490,Conversation log\n45.5,GPT-4,1087,230,1317,API log\n";
        assert_eq!(ms(&parse("b.csv", burst).expect("BurstGPT's")), [(0, 472, 18), (40_500, 1_087, 230)]);
        let lines = "{\"time_s\": 1.5, \"prompt_tokens\": 7, \"answer_tokens\": 3, \"more\": null}\n\n\
                     {\"answer_tokens\": 4, \"time_s\": 2, \"prompt_tokens\": 8}\n";
        assert_eq!(ms(&parse("c.jsonl", lines).expect("JSON lines")), [(0, 7, 3), (500, 8, 4)]);
    }

    #[test]
    fn a_bad_line_is_named_with_what_is_wrong() {
        let head = "time_s,prompt_tokens,answer_tokens\n0,1,2\n";
        for (text, line, word) in [
            ("time_s,answer_tokens\n", 1, "prompt tokens"),
            ("time_s,prompt_tokens,answer_tokens\n0,1,2\nsoon,1,2\n", 3, "is no time"),
            ("time_s,prompt_tokens,answer_tokens\n0,1,2\n\n1,many,2\n", 4, "no number of tokens"),
            ("time_s,prompt_tokens,answer_tokens\n0,1,-2\n", 2, "0 to"),
            ("time_s,prompt_tokens,answer_tokens\n0,1\n", 2, "columns"),
            ("time_s,prompt_tokens,answer_tokens\n5,1,2\n4,1,2\n", 3, "goes back"),
            ("{\"time_s\": 1, \"prompt_tokens\": 2}\n", 1, "answer tokens"),
            ("{\"time_s\": 1,\n", 1, "JSON"),
            ("time_s,prompt_tokens,answer_tokens\n2023-13-01 00:00:00,1,2\n", 2, "is no time"),
        ] {
            let shown = parse("bad.csv", text).expect_err(text).to_string();
            assert!(shown.contains(&format!("bad.csv, line {line}: ")) && shown.contains(word), "{shown}");
        }
        assert!(parse("bad.csv", "").is_err() && parse("bad.csv", &head[..35]).is_err());
    }

    #[test]
    fn dates_count_days_as_the_calendar_does() {
        assert_eq!(calendar("1970-01-02 00:00:01"), Some(86_401.0));
        assert_eq!(calendar("2024-03-01T00:00:00Z"), Some(1_709_251_200.0));
    }
}
