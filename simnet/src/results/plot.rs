//! Plots as plain SVG: no script, no font, no colour that the page's style sheet does not set.

use std::fmt::Write as _;

use crate::measures::Interval;

/// Colours that a page's style sheet names `--c0` to `--c7`; further arms begin again.
pub const COLOURS: usize = 8;

const WIDTH: f64 = 460.0;
const ROW: f64 = 26.0;
const LEFT: f64 = 172.0;
const RIGHT: f64 = 14.0;
/// Letters of an arm's name that fit to the left of a plot.
const NAME_MAX: usize = 24;

/// Escapes text as it may stand in HTML and SVG.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns a number with as many digits as it deserves: three significant ones, and thousands
/// apart.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.01 => 3,
        _ => 5,
    };
    let text = format!("{size:.digits$}");
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    let rest = rest.map(|rest| rest.trim_end_matches('0')).filter(|rest| !rest.is_empty());
    if let Some(rest) = rest {
        grouped.push('.');
        grouped.push_str(rest);
    }
    let is_zero = grouped.chars().all(|letter| matches!(letter, '0' | '.'));
    if value < 0.0 && !is_zero { format!("−{grouped}") } else { grouped }
}

/// Returns a line and its number at each tick, down to the bottom.
fn uprights(svg: &mut String, ticks: Vec<f64>, x: impl Fn(f64) -> f64, bottom: f64) {
    for tick in ticks {
        let at = x(tick);
        let _ = write!(
            svg,
            "<line class=grid x1={at:.1} x2={at:.1} y1=0 y2={bottom:.1} /><text class=tick x={at:.1} y={:.1} \
             text-anchor=middle>{}</text>",
            bottom + 16.0,
            number(tick)
        );
    }
}

/// Returns round numbers that cover a range, about `count` of them.
fn ticks(low: f64, high: f64, count: f64) -> Vec<f64> {
    let raw = ((high - low) / count).max(f64::MIN_POSITIVE);
    let power = libm::pow(10.0, libm::floor(libm::log10(raw)));
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= raw).unwrap_or(raw);
    let first = libm::ceil(low / step - 1e-9);
    let last = libm::floor(high / step + 1e-9);
    let places = (last - first).clamp(0.0, 20.0) as u32;
    (0..=places).map(|place| (first + f64::from(place)) * step).collect()
}

/// Returns the range of an axis: all values and a little more; from zero if that is near.
fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    let pad = ((high - low) * 0.08).max(high.abs() * 0.02).max(1e-9);
    let low = if low >= 0.0 && low < (high - low) * 2.0 { 0.0 } else { low - pad };
    (low, high + pad)
}

/// Returns one row for each arm, with the number of its colour: its mean as a dot, its 95 %
/// interval as a bar.
#[must_use]
pub fn dots(rows: &[(usize, &str, Interval)]) -> String {
    let ends = rows.iter().flat_map(|(_, _, of)| [of.low(), of.high()]);
    let (low, high) = range(ends);
    let x = |value: f64| LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let bottom = ROW * rows.len() as f64 + 6.0;
    let mut svg = open(WIDTH, bottom + 22.0);
    uprights(&mut svg, ticks(low, high, 4.0), x, bottom);
    for (place, (arm, name, of)) in rows.iter().enumerate() {
        let y = ROW * place as f64 + ROW / 2.0 + 2.0;
        let colour = arm % COLOURS;
        let _ = write!(
            svg,
            "<text class=name x={:.1} y={:.1} text-anchor=end>{}</text>",
            LEFT - 10.0,
            y + 4.0,
            escape(&short(name, NAME_MAX))
        );
        if of.half.is_some() {
            let (from, to) = (x(of.low()), x(of.high()));
            let _ = write!(
                svg,
                "<line class=bar style='stroke:var(--c{colour})' x1={from:.1} x2={to:.1} y1={y:.1} y2={y:.1} />"
            );
        }
        let _ = write!(
            svg,
            "<circle style='fill:var(--c{colour})' cx={:.1} cy={y:.1} r=4.5><title>{}: {}</title></circle>",
            x(of.mean),
            escape(name),
            escape(&shown(of))
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Returns one bar for each arm, made of parts that follow each other, in one colour that fades
/// from part to part.
#[must_use]
pub fn parts(rows: &[(usize, &str, Vec<f64>)]) -> String {
    let whole = |of: &[f64]| of.iter().sum::<f64>();
    let (_, high) = range(rows.iter().map(|(_, _, of)| whole(of)).chain([0.0]));
    let x = |value: f64| LEFT + value / high * (WIDTH - LEFT - RIGHT);
    let bottom = ROW * rows.len() as f64 + 6.0;
    let mut svg = open(WIDTH, bottom + 22.0);
    uprights(&mut svg, ticks(0.0, high, 4.0), x, bottom);
    for (place, (arm, name, of)) in rows.iter().enumerate() {
        let top = ROW * place as f64 + 6.0;
        let _ = write!(
            svg,
            "<text class=name x={:.1} y={:.1} text-anchor=end>{}</text>",
            LEFT - 10.0,
            top + 12.0,
            escape(&short(name, NAME_MAX))
        );
        let mut from = 0.0;
        for (part, value) in of.iter().enumerate() {
            let (left, right) = (x(from), x(from + value));
            let _ = write!(
                svg,
                "<rect style='fill:var(--c{});opacity:{:.2}' x={left:.1} y={top:.1} width={:.1} height=16><title>{}: \
                 {}</title></rect>",
                arm % COLOURS,
                1.0 - part as f64 * 0.32,
                (right - left).max(0.0),
                escape(name),
                number(*value)
            );
            from += value;
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Returns a mean and its interval in words.
#[must_use]
pub fn shown(of: &Interval) -> String {
    match of.half {
        Some(half) => format!("{} ± {}", number(of.mean), number(half)),
        None => number(of.mean),
    }
}

/// Draws distributions: each line gives 101 percentiles; the share of orders goes up, the value to the right.
///
/// The value axis ends at the 99th percentile of the widest: a single late order must not flatten all others.
#[must_use]
pub fn distributions(lines: &[(&str, &[f64])], unit: &str) -> String {
    const HEIGHT: f64 = 230.0;
    const LEFT: f64 = 44.0;
    let low = lines.iter().filter_map(|(_, line)| line.first()).copied().fold(f64::INFINITY, f64::min);
    let high = lines.iter().filter_map(|(_, line)| line.get(99)).copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = range([low, high].into_iter());
    let x = |value: f64| LEFT + ((value - low) / (high - low)).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
    let y = |percent: f64| 8.0 + (1.0 - percent / 100.0) * (HEIGHT - 16.0);
    let mut svg = open(WIDTH, HEIGHT + 34.0);
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let at = y(percent);
        let _ = write!(
            svg,
            "<line class=grid x1={LEFT} x2={:.1} y1={at:.1} y2={at:.1} /><text class=tick x={:.1} y={:.1} \
             text-anchor=end>{percent:.0} %</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        );
    }
    for tick in ticks(low, high, 5.0) {
        let at = x(tick);
        let _ = write!(
            svg,
            "<text class=tick x={at:.1} y={:.1} text-anchor=middle>{}</text>",
            HEIGHT + 12.0,
            number(tick)
        );
    }
    let _ = write!(
        svg,
        "<text class=tick x={:.1} y={:.1} text-anchor=end>{}</text>",
        WIDTH - RIGHT,
        HEIGHT + 29.0,
        escape(unit)
    );
    for (place, (name, line)) in lines.iter().enumerate() {
        let points: Vec<String> = line
            .iter()
            .enumerate()
            .map(|(percent, value)| format!("{:.1},{:.1}", x(*value), y(percent as f64)))
            .collect();
        let _ = write!(
            svg,
            "<polyline class=line style='stroke:var(--c{})' points='{}'><title>{}</title></polyline>",
            place % COLOURS,
            points.join(" "),
            escape(name)
        );
    }
    svg.push_str("</svg>");
    svg
}

fn open(width: f64, height: f64) -> String {
    format!("<svg viewBox='0 0 {width:.0} {height:.0}' role=img>")
}

fn short(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    let mut cut: String = name.chars().take(most - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_thousands_apart() {
        for (value, shown) in [
            (0.0, "0"),
            (1234567.0, "1\u{202f}234\u{202f}567"),
            (812.4, "812"),
            (12.30, "12.3"),
            (-0.5, "−0.5"),
            (1.0, "1"),
        ] {
            assert_eq!(number(value), shown);
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 100.0, 5.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(3.0, 9.5, 4.0), [4.0, 6.0, 8.0]);
        assert!(ticks(1.0, 1.0, 4.0).len() <= 21);
    }

    #[test]
    fn parts_follow_each_other_and_end_at_their_sum() {
        let svg = parts(&[(0, "a", vec![100.0, 50.0, 50.0]), (2, "b", vec![100.0])]);
        let widths: Vec<f64> =
            svg.split("width=").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok()).collect();
        assert_eq!(widths.len(), 4, "{svg}");
        assert!(
            svg.contains("--c2") && !svg.contains("--c1"),
            "an arm that is left out keeps its colour: {svg}"
        );
        assert!(
            (widths[0] - widths[1] * 2.0).abs() < 0.2 && (widths[0] - widths[3]).abs() < 0.2,
            "{widths:?}"
        );
    }

    #[test]
    fn a_name_cannot_leave_its_element() {
        let rows = [(0, "<script>alert(1)</script>", Interval { n: 2, mean: 1.0, half: Some(0.5) })];
        let svg = dots(&rows);
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;"), "{svg}");
    }
}
