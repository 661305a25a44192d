//! `bombyx demo`: the private swarm of [`crate::demo`], shown and judged.

use super::error::VerbError;
use super::print::{Bars, Printer};
use super::shutdown;
use crate::demo;
use crate::error::NodeError;

pub(super) async fn run(printer: Printer) -> Result<(), VerbError> {
    let prepared = tokio::task::spawn_blocking(|| {
        let mut bars = Bars::default();
        demo::prepare(&mut |advance| bars.show(advance))
    });
    prepared
        .await
        .map_err(|_| NodeError::Bug("fetching what the demo needs panicked".into()))?
        .map_err(NodeError::from)?;
    let exe = std::env::current_exe().map_err(|source| NodeError::Io {
        what: "find",
        path: "this program's file".into(),
        source,
    })?;
    let report =
        demo::run(exe, &|line| printer.note(line), async { drop(shutdown::requested().await) }).await?;
    let held = report.ok;
    printer.data(&report, || report.tables());
    if held {
        Ok(())
    } else {
        Err(NodeError::Bug("the demonstration ended, but its figures do not hold".into()).into())
    }
}
