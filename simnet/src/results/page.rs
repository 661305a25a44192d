//! The report of a sweep: one page that needs nothing else, with the question, the answer in words, plots and tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::measures::Interval;
use crate::results::effects::{EFFECTS, MarkOutcome};
use crate::results::merge::{ArmResult, SweepResult};
use crate::results::metrics::{Good, METRICS, Metric, find};
use crate::results::plot::{COLOURS, distributions, dots, escape, number, parts, shown};

/// The style sheet of every page.
pub const STYLE: &str = include_str!("page.css");

/// Metrics that are drawn, and named first in the answer, in this order; all are in the table.
const HEADLINES: [&str; 13] = [
    "success",
    "false_answers",
    "cheaters_found",
    "match_ms_p50",
    "first_content_ms_p95",
    "price_mean",
    "efficiency",
    "cost_over_assignment",
    "failovers_per_100",
    "messages_per_job",
    "locked_mean",
    "utilisation",
    "income_gini",
];
/// The parts of the wait for the first content, by the metrics of their medians.
const WAIT: [(&str, &str); 3] = [
    ("bids_ms_p50", "until the bids are in"),
    ("award_ms_p50", "until a provider takes the job"),
    ("answer_ms_p50", "until its answer begins"),
];

/// Returns whether a metric refines another: it stands in the table and makes no sentence.
fn is_detail(metric: &Metric) -> bool {
    let parts = ["bids_ms", "award_ms", "answer_ms", "optimum_gap", "busy_per_100", "cost_over_optimum"];
    metric.key.ends_with("_p99") || parts.iter().any(|part| metric.key.starts_with(part))
}

/// Differences that the answer names for one arm at the most.
const SENTENCES_MAX: usize = 5;

/// Returns the page. `command` reproduces it.
#[must_use]
pub fn page(merged: &SweepResult, command: &str) -> String {
    let plan = &merged.plan;
    let title = if plan.title.is_empty() { "a sweep" } else { &plan.title };
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width,initial-scale=1'>\
         <title>{0} · simnet</title><style>{STYLE}</style><main>\
         <p class=kicker>simnet · {1} hosts · {2} orders · {3} seeds · {4} runs</p><h1>{0}</h1>",
        escape(title),
        number(f64::from(plan.nodes)),
        number(f64::from(plan.jobs)),
        plan.seeds.len(),
        plan.arms.iter().flat_map(|arm| arm.runs.iter().chain(&arm.twins)).collect::<BTreeSet<_>>().len(),
    );
    if !plan.question.trim().is_empty() {
        let _ = write!(html, "<p class=question>{}</p>", escape(plan.question.trim()));
    }
    html.push_str(&answer(merged));
    html.push_str(&twins(merged));
    html.push_str(&legend(merged));
    html.push_str(&small_multiples(merged));
    html.push_str(&curves(merged));
    html.push_str(&table(merged));
    html.push_str(&made(merged, command));
    html.push_str("</main></html>\n");
    html
}

/// Returns the answer: what differs from the first arm beyond chance, in sentences.
fn answer(merged: &SweepResult) -> String {
    let mut html = "<section class=answer><h2>Answer</h2>".to_owned();
    let Some((first, others)) = merged.arms.split_first() else { return html + "</section>" };
    let _ = write!(html, "<p>{}</p>", state(first));
    if !others.is_empty() {
        html.push_str("<ul>");
        for arm in others {
            let _ = write!(html, "<li>{}</li>", against(arm, first));
        }
        html.push_str("</ul>");
    }
    html.push_str("</section>");
    html
}

/// Returns how the first arm did.
fn state(arm: &ArmResult) -> String {
    let known = |key: &str| arm.metrics.get(key).map_or_else(|| "–".to_owned(), |of| number(of.mean));
    format!(
        "With <b>{}</b>, {} % of orders were answered. Half of them had a provider within {} ms and the first content \
         within {} ms; an answer cost {} thousandths of a coin, {} times the lowest list price among the bidders.",
        escape(&arm.name),
        known("success"),
        known("match_ms_p50"),
        known("first_content_ms_p50"),
        known("price_mean"),
        known("paid_over_lowest"),
    )
}

/// Returns how another arm differs: the headlines, then the surest of the other differences.
fn against(arm: &ArmResult, first: &ArmResult) -> String {
    let mut real: Vec<(&Metric, &Interval)> = METRICS
        .iter()
        .filter_map(|metric| Some((metric, arm.against_first.get(metric.key)?)))
        .filter(|(metric, of)| of.excludes_zero() && !is_detail(metric))
        .collect();
    let sureness = |of: &Interval| of.mean.abs() / of.half.unwrap_or(f64::INFINITY).max(f64::MIN_POSITIVE);
    real.sort_by(|(a, one), (b, other)| {
        rank(a).cmp(&rank(b)).then(sureness(other).total_cmp(&sureness(one)))
    });
    let name = escape(&arm.name);
    if real.is_empty() {
        return format!(
            "<b>{name}</b>: no difference from {} can be told from chance with these seeds.",
            escape(&first.name)
        );
    }
    let all = real.len();
    let sentences: Vec<String> =
        real.iter().take(SENTENCES_MAX).map(|(metric, of)| part(metric, of, first)).collect();
    let more = all.saturating_sub(SENTENCES_MAX);
    let rest = match more {
        0 => String::new(),
        1 => " One more difference is in the table.".to_owned(),
        _ => format!(" {more} more differences are in the table."),
    };
    format!("<b>{name}</b>: {}.{rest}", sentences.join("; "))
}

/// Returns where a metric stands in the answer: what is neither good nor bad comes last.
fn rank(metric: &Metric) -> (bool, usize) {
    let headline = HEADLINES.iter().position(|key| *key == metric.key);
    (metric.good == Good::Neither, headline.unwrap_or(HEADLINES.len()))
}

fn part(metric: &Metric, of: &Interval, first: &ArmResult) -> String {
    let direction = if of.mean > 0.0 { "more" } else { "less" };
    let base = first.metrics.get(metric.key).map_or(0.0, |of| of.mean);
    let share = if base.abs() > 1e-9 && metric.unit != "%" {
        format!(" ({}{} %)", if of.mean > 0.0 { "+" } else { "−" }, number((of.mean / base * 1e2).abs()))
    } else {
        String::new()
    };
    let unit = if metric.unit == "%" { "points" } else { metric.unit };
    format!(
        "{}: <span class={}>{} ± {} {} {direction}{share}</span>",
        escape(metric.label),
        outcome(metric, of),
        number(of.mean.abs()),
        number(of.half.unwrap_or(0.0)),
        escape(unit),
    )
}

fn outcome(metric: &Metric, of: &Interval) -> &'static str {
    match metric.good {
        Good::Neither => "plain",
        Good::High if of.mean > 0.0 => "good",
        Good::Low if of.mean < 0.0 => "good",
        Good::High | Good::Low => "bad",
    }
}

/// Returns what each attack does against its honest twin, and which marks are kept.
fn twins(merged: &SweepResult) -> String {
    let attacked: Vec<&ArmResult> = merged.arms.iter().filter(|arm| !arm.effects.is_empty()).collect();
    let mut html = String::new();
    if !attacked.is_empty() {
        html.push_str(
            "<h2>Against the honest twin</h2><p class=note>Each arm with attackers beside the same seeds and hosts, which keep to \
             the protocol: mean ± half of the 95 % interval of the paired differences.</p><div class=wide><table><thead><tr><th>",
        );
        attacked.iter().for_each(|arm| _ = write!(html, "<th>{}", escape(&arm.name)));
        html.push_str("</thead><tbody>");
        for effect in
            EFFECTS.iter().filter(|effect| attacked.iter().any(|arm| arm.effects.contains_key(effect.key)))
        {
            let _ = write!(html, "<tr><th>{}{}", escape(effect.label), unit(effect));
            for arm in &attacked {
                let value = arm.effects.get(effect.key).map_or_else(|| "–".to_owned(), shown);
                let _ = write!(html, "<td>{value}");
            }
        }
        html.push_str("</tbody></table></div>");
    }
    if !merged.marks.is_empty() {
        html.push_str("<h2>Marks</h2><ul>");
        for of in &merged.marks {
            let class = match of.outcome {
                MarkOutcome::Kept => "good",
                MarkOutcome::Broken => "bad",
                MarkOutcome::Open => "plain",
            };
            let _ = write!(html, "<li><span class={class}>{}</span></li>", escape(&of.to_string()));
        }
        html.push_str("</ul>");
    }
    html
}

fn legend(merged: &SweepResult) -> String {
    let mut html = "<p class=legend>".to_owned();
    for (place, arm) in merged.arms.iter().enumerate() {
        let _ = write!(
            html,
            "<span><i style='background:var(--c{})'></i>{}</span>",
            place % COLOURS,
            escape(&arm.name)
        );
    }
    html.push_str("</p>");
    html
}

fn small_multiples(merged: &SweepResult) -> String {
    let mut html =
        "<h2>At a glance</h2><p class=note>Dots are means over the seeds, bars their 95 % intervals.</p><div class=grid2>"
            .to_owned();
    for metric in HEADLINES.iter().filter_map(|key| find(key)) {
        let rows: Vec<(usize, &str, Interval)> = merged
            .arms
            .iter()
            .enumerate()
            .filter_map(|(place, arm)| Some((place, arm.name.as_str(), *arm.metrics.get(metric.key)?)))
            .collect();
        // What is nothing everywhere is not worth a picture.
        if rows.is_empty() || is_zero(merged, metric) {
            continue;
        }
        let _ = write!(
            html,
            "<figure><figcaption>{}{}</figcaption>{}</figure>",
            escape(metric.label),
            unit(metric),
            dots(&rows)
        );
    }
    html.push_str("</div>");
    html
}

fn unit(metric: &Metric) -> String {
    if metric.unit.is_empty() { String::new() } else { format!(" <small>{}</small>", escape(metric.unit)) }
}

/// Returns where the wait for the first content goes.
fn wait(merged: &SweepResult) -> String {
    let of_arm = |arm: &ArmResult| -> Option<Vec<f64>> {
        WAIT.iter().map(|(key, _)| Some(arm.metrics.get(*key)?.mean)).collect()
    };
    let rows: Vec<(usize, &str, Vec<f64>)> = merged
        .arms
        .iter()
        .enumerate()
        .filter_map(|(place, arm)| Some((place, arm.name.as_str(), of_arm(arm)?)))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = WAIT.iter().map(|(_, name)| *name).collect();
    format!(
        "<figure><figcaption>Where the wait for the first content goes <small>ms</small></figcaption>{}<p class=note>From dark to pale: \
         {}. Medians of each part; they need not add up to the median of the whole.</p></figure>",
        parts(&rows),
        names.join(", ")
    )
}

fn curves(merged: &SweepResult) -> String {
    let mut html = "<h2>Every order, not only the mean</h2><p class=note>The share of orders at or below a value, up to \
                    the 99th percentile.</p><div class=grid2>"
        .to_owned();
    let drawn = [
        ("price", "Price of an answer", "10⁻³ coins"),
        ("match_ms", "From the order to a provider", "ms"),
        ("first_content_ms", "From the order to the first content", "ms"),
    ];
    for (key, label, unit) in drawn {
        let lines: Vec<(&str, &[f64])> = merged
            .arms
            .iter()
            .map(|arm| (arm.name.as_str(), arm.curves.get(key).map_or(&[][..], Vec::as_slice)))
            .collect();
        if lines.iter().any(|(_, line)| !line.is_empty()) {
            let _ = write!(
                html,
                "<figure><figcaption>{label}</figcaption>{}</figure>",
                distributions(&lines, unit)
            );
        }
    }
    html.push_str(&wait(merged));
    html.push_str("</div>");
    html
}

fn table(merged: &SweepResult) -> String {
    let mut html = "<h2>All numbers</h2><p class=note>Mean ± half of the 95 % interval. Below it, for every arm but the \
                    first: the paired difference from the first arm over common seeds, marked where its interval does not \
                    hold zero.</p><div class=wide><table><thead><tr><th>"
        .to_owned();
    for arm in &merged.arms {
        let _ = write!(html, "<th>{}", escape(&arm.name));
    }
    html.push_str("</thead><tbody>");
    let (mut zero, measured): (Vec<&Metric>, Vec<&Metric>) = METRICS
        .iter()
        .filter(|metric| merged.arms.iter().any(|arm| arm.metrics.contains_key(metric.key)))
        .partition(|metric| is_zero(merged, metric));
    for metric in measured {
        let _ = write!(html, "<tr><th>{}{}", escape(metric.label), unit(metric));
        for (place, arm) in merged.arms.iter().enumerate() {
            let value = arm.metrics.get(metric.key).map_or_else(|| "–".to_owned(), shown);
            let _ = write!(html, "<td>{value}");
            if let Some(of) = arm.against_first.get(metric.key).filter(|_| place > 0) {
                let class = if of.excludes_zero() { outcome(metric, of) } else { "quiet" };
                let sign = if of.mean > 0.0 { "+" } else { "" };
                let _ = write!(html, "<br><span class='delta {class}'>{sign}{}</span>", shown(of));
            }
        }
    }
    html.push_str("</tbody></table></div>");
    if !zero.is_empty() {
        zero.sort_by_key(|metric| rank(metric));
        let labels: Vec<String> = zero.iter().map(|metric| escape(metric.label)).collect();
        let _ = write!(html, "<p class=note>Zero in every run: {}.</p>", labels.join("; "));
    }
    html
}

/// Returns whether a metric is zero in every run.
fn is_zero(merged: &SweepResult, metric: &Metric) -> bool {
    let nothing = |of: &Interval| of.mean == 0.0 && of.half.is_none_or(|half| half == 0.0);
    merged.arms.iter().filter_map(|arm| arm.metrics.get(metric.key)).all(nothing)
}

fn made(merged: &SweepResult, command: &str) -> String {
    let seeds = match merged.plan.seeds.as_slice() {
        [] => "none".to_owned(),
        [one] => one.to_string(),
        [first, .., last] => format!("{first} to {last}"),
    };
    format!(
        "<h2>How this was made</h2><p>Every run drives the production role machines on virtual time; all arms share their \
         seeds ({seeds}), and every draw that their difference does not touch. Intervals are Student's t over the seeds. \
         The models and what they leave out: <code>spec/10-simulation.md</code>. <i>Social cost</i> is what serving the \
         tokens costs the provider by its own list price, and the buyer's wait; it is held against an omniscient assignment \
         of all orders that keeps every slot. <i>Welfare</i> is the most that an order may cost less its social cost, for \
         answers that are what was ordered.</p><pre>{}</pre><p class=note>simnet {} at commit {}.</p>",
        escape(command),
        env!("CARGO_PKG_VERSION"),
        env!("SIMNET_COMMIT"),
    )
}
