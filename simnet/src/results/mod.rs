//! Results of runs: reports, figures, sweeps, files and pages.

pub mod effects;
mod merge;
pub mod metrics;
pub mod page;
pub mod plot;
mod report;
mod shard;
pub mod store;
mod sweep;
mod tables;
mod text;
pub mod timeline;
mod welfare;

pub use merge::{ArmResult, SweepResult, differences, merge};
pub use report::{AttackSummary, LedgerSummary, Report, Summary};
pub use shard::SweepShard;
pub use sweep::{Arm, ArmPlan, RUNS_MAX, SweepError, SweepPlan, SweepRun};
pub use text::table;
pub use welfare::Welfare;
