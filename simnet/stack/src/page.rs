//! The comparison as one page that needs nothing else.

use std::fmt::Write as _;

use bombyx_simnet::measures::curve;
use bombyx_simnet::results::page::STYLE;
use bombyx_simnet::results::plot::{distributions, escape, number, shown};

use crate::compare::{APART_MAX, Comparison, DistributionPair, KS_MAX, apart};

/// Why the fidelities differ where they do, and what was found to be an error of the model and mended.
const EXPLANATION: &str = include_str!("explanation.html");

/// Returns the page. `command` reproduces it.
pub(crate) fn page(of: &Comparison, command: &str) -> String {
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width,initial-scale=1'>\
         <title>message against stack · simnet</title><style>{STYLE}</style><main>\
         <p class=kicker>simnet · {} hosts · {} orders · {} seeds · two fidelities</p>\
         <h1>The model against the real stack</h1>",
        number(f64::from(of.scenario.nodes)),
        number(f64::from(of.scenario.workload.jobs)),
        of.seeds.len(),
    );
    let _ = write!(html, "<p class=question>{}</p>", escape(of.scenario.question.trim()));
    html.push_str(&answer(of));
    html.push_str(
        "<p class=legend><span><i style='background:var(--c0)'></i>message: simnet's model</span>\
         <span><i style='background:var(--c1)'></i>stack: the node's swarm over rust-libp2p</span></p>\
         <h2>Every value, not only the mean</h2><p class=note>The share of all values at or below one, all seeds \
         together, up to the 99th percentile.</p><div class=grid2>",
    );
    for one in &of.distributions {
        let (message, stack) = (curve(one.message.iter().copied()), curve(one.stack.iter().copied()));
        let lines = [("message", message.as_slice()), ("stack", stack.as_slice())];
        let _ = write!(
            html,
            "<figure><figcaption>{} <small>KS {}</small></figcaption>{}</figure>",
            escape(one.label),
            number(one.ks()),
            distributions(&lines, one.unit)
        );
    }
    html.push_str("</div>");
    html.push_str(&table(of));
    let _ = write!(html, "<h2>Where they differ, and why</h2>{EXPLANATION}");
    html.push_str(&made(of, command));
    html.push_str("</main></html>\n");
    html
}

/// Returns what holds for one distribution: the percentiles that the goal is about, and the
/// distance.
fn holds(of: &DistributionPair) -> bool {
    let (message, stack) = of.percentiles();
    let near = |message, stack| apart(message, stack).abs() <= APART_MAX;
    near(message.p50, stack.p50) && near(message.p95, stack.p95) && of.ks() <= KS_MAX
}

fn answer(of: &Comparison) -> String {
    let mut html = format!(
        "<section class=answer><h2>Answer</h2><p>{} of {} distributions are within the goal: median and 95th percentile \
         within {:.0} % of the real stack, distance (KS) at most {}.</p><ul>",
        of.distributions.iter().filter(|one| holds(one)).count(),
        of.distributions.len(),
        APART_MAX * 1e2,
        number(KS_MAX)
    );
    for one in &of.distributions {
        let (message, stack) = one.percentiles();
        let class = if holds(one) { "good" } else { "bad" };
        let _ = write!(
            html,
            "<li>{}: the model's median is <span class={class}>{} %</span> off ({} against {}), its 95th percentile \
             <span class={class}>{} %</span>, KS <span class={class}>{}</span>.</li>",
            escape(one.label),
            signed(apart(message.p50, stack.p50)),
            number(message.p50),
            with_unit(stack.p50, one.unit),
            signed(apart(message.p95, stack.p95)),
            number(one.ks())
        );
    }
    html.push_str("</ul></section>");
    html
}

fn with_unit(value: f64, unit: &str) -> String {
    if unit.is_empty() { number(value) } else { format!("{} {unit}", number(value)) }
}

fn signed(share: f64) -> String {
    let percent = share * 1e2;
    if percent.abs() < 0.05 {
        return "0".to_owned();
    }
    format!("{}{:.1}", if percent < 0.0 { "−" } else { "+" }, percent.abs())
}

fn table(of: &Comparison) -> String {
    let mut html =
        "<h2>All numbers</h2><div class=wide><table><thead><tr><th><th>values<th>p50<th>p95<th>p99<th>KS\
                    </thead><tbody>"
            .to_owned();
    for one in &of.distributions {
        let (message, stack) = one.percentiles();
        let _ = write!(
            html,
            "<tr><th>{} <small>{}</small><td>{}<br>{}",
            escape(one.label),
            one.unit,
            number(message.count as f64),
            number(stack.count as f64)
        );
        for (message, stack) in [(message.p50, stack.p50), (message.p95, stack.p95), (message.p99, stack.p99)]
        {
            let off = apart(message, stack);
            let class = if off.abs() <= APART_MAX { "good" } else { "bad" };
            let _ = write!(
                html,
                "<td>{}<br>{}<br><span class='delta {class}'>{} %</span>",
                number(message),
                number(stack),
                signed(off)
            );
        }
        let class = if one.ks() <= KS_MAX { "good" } else { "bad" };
        let _ = write!(html, "<td><span class={class}>{}</span>", number(one.ks()));
    }
    html.push_str(
        "</tbody></table></div><p class=note>First line: message. Second: stack. Third: how far the first is from the \
         second.</p><div class=wide><table><thead><tr><th><th>message<th>stack</thead><tbody>",
    );
    for one in &of.singles {
        let _ =
            write!(html, "<tr><th>{}<td>{}<td>{}", escape(one.label), shown(&one.message), shown(&one.stack));
    }
    let _ = write!(
        html,
        "<tr><th>Connections of a mean host before the first lookup<td>as the stack<td>{}\
         <tr><th>Connections of a mean host before the first order<td>{}<td>{}</tbody></table></div>\
         <p class=note>Mean over the seeds ± half of its 95 % interval.</p>",
        number(of.connections.before_lookups),
        number(f64::from(of.scenario.network.connections)),
        number(of.connections.before_orders)
    );
    html
}

fn made(of: &Comparison, command: &str) -> String {
    let seeds: Vec<String> = of.seeds.iter().map(u64::to_string).collect();
    format!(
        "<h2>How this was made</h2><p>Both fidelities run the same production role machines, the same orders (seeds {}), \
         places, disks, engines and ledger, and draw the delay of bytes from the same link model. <i>message</i> carries \
         messages by simnet's models. <i>stack</i> compiles the node's network folder as it is, discovery, dialling, \
         streams and all settings included, over rust-libp2p's own gossipsub, Kademlia, identify and ping; below it lies \
         a transport in virtual time that behaves as QUIC does. Its runs are equal to the bit for equal seeds.</p>\
         <pre>{}</pre><p class=note>simnet-stack {} at commit {}.</p>",
        seeds.join(", "),
        escape(command),
        env!("CARGO_PKG_VERSION"),
        env!("SIMNET_COMMIT"),
    )
}
