//! What came of runs: reports, figures, sweeps, files and pages.

pub mod metrics;
pub mod page;
pub mod plot;
pub mod report;
pub mod store;
pub mod sweep;
pub mod tables;
pub mod timeline;
pub mod welfare;
