//! A run as columns: three Parquet files that DuckDB, Polars or pandas read as they are.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::Span;
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::host::{Host, Profile};
use crate::measures::{JobRow, Outcome};
use crate::network::ACCESS_CLASSES;
use crate::results::effects::EFFECTS;
use crate::scenario::Regions;
use crate::world::World;

/// One column; a missing value is null.
pub(super) enum Column {
    /// Whole numbers.
    Whole(&'static str, Vec<Option<i64>>),
    /// Real numbers.
    Real(&'static str, Vec<Option<f64>>),
    /// Text.
    Text(&'static str, Vec<Option<String>>),
}

impl Column {
    fn schema(&self) -> Result<Arc<Type>, ParquetError> {
        let (name, physical, converted) = match self {
            Self::Whole(name, _) => (name, Physical::INT64, ConvertedType::NONE),
            Self::Real(name, _) => (name, Physical::DOUBLE, ConvertedType::NONE),
            Self::Text(name, _) => (name, Physical::BYTE_ARRAY, ConvertedType::UTF8),
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_converted_type(converted)
            .build()
            .map(Arc::new)
    }

    fn write(&self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match self {
            Self::Whole(_, values) => {
                let (present, levels) = split(values, |value| *value);
                column.typed::<Int64Type>().write_batch(&present, Some(&levels), None)?;
            }
            Self::Real(_, values) => {
                let (present, levels) = split(values, |value| *value);
                column.typed::<DoubleType>().write_batch(&present, Some(&levels), None)?;
            }
            Self::Text(_, values) => {
                let (present, levels) = split(values, |value| ByteArray::from(value.as_str()));
                column.typed::<ByteArrayType>().write_batch(&present, Some(&levels), None)?;
            }
        }
        Ok(())
    }
}

/// Returns what is there, and for each row whether it is.
fn split<T, V>(values: &[Option<T>], convert: impl Fn(&T) -> V) -> (Vec<V>, Vec<i16>) {
    (
        values.iter().flatten().map(convert).collect(),
        values.iter().map(|value| i16::from(value.is_some())).collect(),
    )
}

/// Writes columns of equal length as one Parquet file.
///
/// # Errors
/// The sink's, or columns of different lengths.
pub(super) fn write(sink: impl Write + Send, columns: &[Column]) -> Result<(), ParquetError> {
    let fields = columns.iter().map(Column::schema).collect::<Result<Vec<_>, _>>()?;
    let schema = Arc::new(Type::group_type_builder("row").with_fields(fields).build()?);
    let mut file = SerializedFileWriter::new(sink, schema, Arc::new(WriterProperties::default()))?;
    let mut rows = file.next_row_group()?;
    for column in columns {
        let mut writer = rows
            .next_column()?
            .ok_or_else(|| ParquetError::General("the schema has fewer columns than the table".into()))?;
        column.write(&mut writer)?;
        writer.close()?;
    }
    rows.close()?;
    file.close()?;
    Ok(())
}

fn whole(number: impl Into<u64>) -> Option<i64> {
    i64::try_from(number.into()).ok()
}

fn ms(span: Option<Span>) -> Option<f64> {
    span.map(|span| span.0 as f64 / 1e3)
}

/// Returns one row for each order, in the order of arrival.
#[must_use]
pub(super) fn jobs(world: &World) -> Vec<Column> {
    let rows = world.jobs();
    let whole_of =
        |name, value: &dyn Fn(&JobRow) -> Option<i64>| Column::Whole(name, rows.iter().map(value).collect());
    let real_of =
        |name, value: &dyn Fn(&JobRow) -> Option<f64>| Column::Real(name, rows.iter().map(value).collect());
    let text_of = |name, value: &dyn Fn(&JobRow) -> Option<String>| {
        Column::Text(name, rows.iter().map(value).collect())
    };
    vec![
        Column::Whole("job", (0..rows.len() as i64).map(Some).collect()),
        whole_of("client", &|job| Some(i64::from(job.client))),
        whole_of("provider", &|job| job.server().map(i64::from)),
        real_of("at_s", &|job| Some(job.at.0 as f64 / 1e6)),
        text_of("outcome", &|job| Some(outcome(job).to_owned())),
        text_of("why", &|job| match job.outcome() {
            Outcome::Failed(why) => Some(why.to_string()),
            Outcome::Open | Outcome::Done | Outcome::Lost => None,
        }),
        real_of("match_ms", &|job| ms(job.matched())),
        real_of("first_content_ms", &|job| ms(job.first_content())),
        real_of("bids_ms", &|job| ms(job.phases().map(|phases| phases[0]))),
        real_of("award_ms", &|job| ms(job.phases().map(|phases| phases[1]))),
        real_of("answer_ms", &|job| ms(job.phases().map(|phases| phases[2]))),
        real_of("whole_ms", &|job| ms(job.ended().map(|ended| ended.since(job.at)))),
        whole_of("cost_nano", &|job| whole(job.cost.0)),
        whole_of("lowest_list_nano", &|job| job.lowest_list().and_then(|lowest| whole(lowest.0))),
        whole_of("input_tokens", &|job| whole(job.tokens().0)),
        whole_of("output_tokens", &|job| whole(job.tokens().1)),
        whole_of("auctions", &|job| whole(job.auctions)),
        whole_of("bidders", &|job| whole(u64::from(job.bidders))),
        whole_of("failovers", &|job| whole(job.failovers().len() as u64)),
        whole_of("receipts", &|job| whole(job.receipts)),
        whole_of("vouchers", &|job| whole(job.vouchers)),
    ]
}

fn outcome(job: &JobRow) -> &'static str {
    match job.outcome() {
        Outcome::Open => "open",
        Outcome::Done => "done",
        Outcome::Failed(_) => "failed",
        Outcome::Lost => "lost",
    }
}

/// Returns one row for each host.
#[must_use]
pub(super) fn nodes(world: &World) -> Vec<Column> {
    let regions = Regions::shipped().names;
    let earned = world.coordinator.check.earned();
    let unsettled = world.coordinator.check.unsettled(&world.coordinator.chain);
    let hosts = world.hosts();
    let text = |name, value: &dyn Fn(&Host) -> Option<String>| {
        Column::Text(name, hosts.clone().map(value).collect())
    };
    let number =
        |name, value: &dyn Fn(&Host) -> Option<i64>| Column::Whole(name, hosts.clone().map(value).collect());
    let nano = |amount: Option<&Nano>| amount.and_then(|amount| whole(amount.0));
    vec![
        Column::Whole("node", (0..hosts.len() as i64).map(Some).collect()),
        text("role", &|host| Some(role(host).to_owned())),
        text("attack", &|host| host.plan.map(|plan| plan.kind.name().to_owned())),
        text("region", &|host| regions.get(usize::from(host.location.region)).cloned()),
        text("access", &|host| {
            ACCESS_CLASSES.get(usize::from(host.location.access)).map(|class| class.name.to_owned())
        }),
        text("gpu", &|host| match &host.profile {
            Profile::Provider { gpu, .. } => {
                world.environment.scenario.population.gpu.get(*gpu as usize).map(|class| class.name.clone())
            }
            Profile::Client { .. } | Profile::Watcher { .. } => None,
        }),
        number("model", &|host| match &host.profile {
            Profile::Provider { model, .. } => Some(i64::from(*model)),
            Profile::Client { .. } | Profile::Watcher { .. } => None,
        }),
        number("slots", &|host| host.offer().map(|offer| i64::from(offer.slots))),
        number("earned_nano", &|host| nano(earned.get(&host.wallet))),
        number("unsettled_nano", &|host| nano(unsettled.get(&host.wallet))),
        number("wallet_nano", &|host| whole(world.coordinator.chain.balance(&host.wallet).0)),
        Column::Real(
            "blamed_s",
            (0u32..)
                .zip(hosts.clone())
                .map(|(host, _)| world.coordinator.measures.blames.first(host).map(|at| at.0 as f64 / 1e6))
                .collect(),
        ),
        number("starts", &|host| Some(i64::from(host.life))),
    ]
}

fn role(host: &Host) -> &'static str {
    match host.profile {
        Profile::Client { .. } => "client",
        Profile::Provider { .. } => "provider",
        Profile::Watcher { .. } => "watcher",
    }
}

/// Returns one row for each pair of a run and its honest twin: arm, seed, effects.
#[must_use]
pub(super) fn effects(rows: &[(String, u64, BTreeMap<&'static str, f64>)]) -> Vec<Column> {
    let mut columns = vec![
        Column::Text("arm", rows.iter().map(|(arm, ..)| Some(arm.clone())).collect()),
        Column::Whole("seed", rows.iter().map(|(_, seed, _)| whole(*seed)).collect()),
    ];
    columns.extend(EFFECTS.iter().map(|effect| {
        Column::Real(effect.key, rows.iter().map(|(.., values)| values.get(effect.key).copied()).collect())
    }));
    columns
}

/// Returns one row for each virtual second.
#[must_use]
pub(super) fn series(world: &World) -> Vec<Column> {
    let samples = &world.coordinator.measures.series;
    let column = |name, value: &dyn Fn(&crate::measures::Sample) -> u64| {
        Column::Whole(name, samples.iter().map(|sample| whole(value(sample))).collect())
    };
    vec![
        Column::Real("at_s", samples.iter().map(|sample| Some(sample.at.0 as f64 / 1e6)).collect()),
        column("events", &|sample| sample.events),
        column("up", &|sample| sample.up),
        column("ordered", &|sample| sample.ordered),
        column("ended", &|sample| sample.ended),
        column("messages", &|sample| sample.traffic.count),
        column("bytes", &|sample| sample.traffic.bytes),
        column("channels", &|sample| sample.channels),
        column("locked_nano", &|sample| sample.locked.0),
        column("paid_out_nano", &|sample| sample.paid_out.0),
        column("fees_nano", &|sample| sample.fees.0),
    ]
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;

    #[test]
    fn a_written_table_is_read_back_with_its_nulls() {
        let columns = [
            Column::Whole("n", vec![Some(1), None, Some(i64::MAX)]),
            Column::Real("x", vec![None, Some(0.5), Some(-1.0)]),
            Column::Text("word", vec![Some("a".into()), Some("ü".into()), None]),
        ];
        let file = tempfile::tempfile().expect("a file");
        write(&file, &columns).expect("a disk");
        let file = SerializedFileReader::new(file).expect("it is a Parquet file");
        let rows: Vec<String> = file
            .get_row_iter(None)
            .expect("it has rows")
            .map(|row| row.expect("a row").to_string())
            .collect();
        assert_eq!(rows.len(), 3);
        assert!(rows[0].contains("n: 1") && rows[0].contains("x: null"), "{}", rows[0]);
        assert!(rows[1].contains("n: null") && rows[1].contains("word: \"ü\""), "{}", rows[1]);
    }
}
