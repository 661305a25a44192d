//! The regions of the world and the round trips between them.

use serde::Deserialize;

/// Median round trips between 20 regions, with their source in the file.
const REGIONS: &str = include_str!("../../data/region-latency-20.json");

/// The region table as it lies in the data file.
#[derive(Debug, Clone, Deserialize)]
pub struct Regions {
    /// Where the figures come from.
    pub attribution: String,
    /// Short names.
    pub names: Vec<String>,
    /// Round trips in milliseconds.
    pub rtt_ms: Vec<Vec<u32>>,
}

impl Regions {
    /// Returns the shipped table.
    #[must_use]
    pub fn shipped() -> Self {
        serde_json::from_str(REGIONS).expect("the table is compiled in and a test reads it")
    }

    /// Returns the index of a region by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u8> {
        self.names.iter().position(|known| known == name).and_then(|index| u8::try_from(index).ok())
    }
}
