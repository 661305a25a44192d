//! `provider.max_price`: what a request lets a token cost, as the price that a bid may ask.
//!
//! A bid asks one price for units of work, and the model's weights say how many units a token is. The wish names coins for a million
//! tokens of the prompt, for a million of the completion, and for the request itself: each bounds that price, and the lowest holds. It
//! is rounded down, so that nothing is ever paid above the wish.

use bombyx_protocol::work::order::TaskKind;
use bombyx_protocol::work::price::{Price, Weights};
use serde_json::Value;

use super::fields::Fields;
use super::wishes::{self, Place};
use crate::http::errors::ApiError;

/// Nano of a coin, as a power of ten.
const COIN_DIGITS: i32 = 9;
/// Digits of a wish that are read.
const DIGITS_MAX: usize = 30;
/// A price is for so many units, and a wish for so many tokens.
const UNITS_OF_PRICE: u128 = 1_000;
const TOKENS_OF_WISH: u128 = 1_000_000;

/// Returns the most that a bid may ask by the `max_price` of a request's `provider` object, if it says anything that this kind of work
/// has.
pub(super) fn max_price(
    wanted: &Fields<'_>,
    weights: Weights,
    kind: TaskKind,
) -> Result<Option<Price>, ApiError> {
    let Some(wish) = wanted.object("max_price")? else { return Ok(None) };
    wishes::check(Place::MaxPrice, &wish)?;
    let [prompt, completion, request] = ["prompt", "completion", "request"].map(|field| amount(&wish, field));
    // Nano of the wish for so many tokens or requests, of which each is so many units.
    let bound = |nano: u128, times: u128, units: u32| {
        let price = nano.saturating_mul(UNITS_OF_PRICE).checked_div(times.saturating_mul(u128::from(units)));
        Price(price.and_then(|price| u64::try_from(price).ok()).unwrap_or(u64::MAX))
    };
    let completion = completion?.filter(|_| kind == TaskKind::Generate);
    let bounds = [
        prompt?.map(|nano| bound(nano, TOKENS_OF_WISH, weights.input)),
        completion.map(|nano| bound(nano, TOKENS_OF_WISH, weights.output)),
        request?.map(|nano| bound(nano, 1, Weights::JOB)),
    ];
    Ok(bounds.into_iter().flatten().min())
}

/// Returns an amount of coins in nano, rounded down: a number, or one as a string.
fn amount(wish: &Fields<'_>, field: &str) -> Result<Option<u128>, ApiError> {
    let Some(value) = wish.value(field) else { return Ok(None) };
    let text = match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let nano = text.as_deref().and_then(nano);
    nano.map(Some).ok_or_else(|| wish.wrong(field, "must be a number of coins from 0"))
}

/// Reads a decimal number of coins, perhaps with an exponent, as whole nano.
fn nano(text: &str) -> Option<u128> {
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let is_number = !whole.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number || digits.len() > DIGITS_MAX {
        return None;
    }
    let exponent = exponent.parse::<i32>().ok().filter(|exponent| exponent.abs() <= 1_000)?;
    let shift = COIN_DIGITS + exponent - i32::try_from(fraction.len()).ok()?;
    let digits = digits.parse::<u128>().ok()?;
    let power = 10u128.checked_pow(shift.unsigned_abs());
    Some(match power {
        // Beyond every price.
        None if shift > 0 && digits > 0 => u128::MAX,
        None => 0,
        Some(power) if shift > 0 => digits.saturating_mul(power),
        Some(power) => digits / power,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::work::price::{InputTokens, Tariff};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(wish: &Value, kind: TaskKind) -> Result<Option<Price>, String> {
        let body = json!({ "max_price": wish });
        let fields = Fields::at(body.as_object().unwrap(), "provider".into());
        let price = max_price(&fields, Weights::DEFAULT, kind);
        price.map_err(|error| error.body()["error"]["param"].as_str().unwrap().to_owned())
    }

    #[test]
    fn each_part_of_a_wish_bounds_the_one_price() {
        for (wish, price) in [
            (json!({}), None),
            (json!({ "prompt": 1 }), Some(100_000)),
            (json!({ "prompt": 1.5 }), Some(150_000)),
            (json!({ "completion": 6 }), Some(100_000)),
            (json!({ "completion": "6" }), Some(100_000)),
            (json!({ "request": 0.000_025_6 }), Some(100_000)),
            (json!({ "prompt": 1, "completion": 3, "request": 1 }), Some(50_000)),
            (json!({ "prompt": 1, "image": 0, "audio": 0 }), Some(100_000)),
            (json!({ "prompt": 0 }), Some(0)),
            (json!({ "prompt": 0.000_009_999_999 }), Some(0)),
            (json!({ "prompt": 1e-5 }), Some(1)),
            (json!({ "prompt": "0.00001999" }), Some(1)),
            (json!({ "prompt": 1e300 }), Some(u64::MAX)),
            (json!({ "prompt": "1e-300" }), Some(0)),
        ] {
            assert_eq!(of(&wish, TaskKind::Generate), Ok(price.map(Price)), "{wish}");
        }
        let completion = json!({ "completion": 0 });
        assert_eq!(of(&completion, TaskKind::Embed), Ok(None), "vectors have none");
    }

    #[test]
    fn what_is_no_amount_is_refused_by_its_name() {
        for (wish, param) in [
            (json!(1), "provider.max_price"),
            (json!({ "prompt": -1 }), "provider.max_price.prompt"),
            (json!({ "completion": "cheap" }), "provider.max_price.completion"),
            (json!({ "completion": "" }), "provider.max_price.completion"),
            (json!({ "request": [1] }), "provider.max_price.request"),
            (json!({ "prompt": ".5" }), "provider.max_price.prompt"),
            (json!({ "prompt": "1e99999999999" }), "provider.max_price.prompt"),
            (json!({ "promt": 1 }), "provider.max_price.promt"),
        ] {
            assert_eq!(of(&wish, TaskKind::Generate), Err(param.to_owned()), "{wish}");
        }
    }

    proptest! {
        /// At the price that comes of it no token costs more than was wished, and no other price would do as well.
        #[test]
        fn nothing_is_paid_above_a_wish(micros in 0u64..10_000_000_000, output in 1u32..200, input in 1u32..=10) {
            let weights = Weights { input, cached: 0, output: output.max(input).min(20 * input) };
            let body = json!({ "max_price": { "completion": format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000) } });
            let fields = Fields::at(body.as_object().unwrap(), "provider".into());
            let price = max_price(&fields, weights, TaskKind::Generate).unwrap().unwrap();
            let million = |price: Price| {
                let tariff = Tariff { price, weights };
                let cost = |tokens| tariff.cost(InputTokens::default(), tokens).unwrap().0;
                cost(1_000_000) - cost(0)
            };
            // A bill is rounded up once.
            prop_assert!(million(price) <= micros * 1_000 + 1);
            prop_assert!(million(Price(price.0 + 1)) + 1 >= micros * 1_000);
        }
    }
}
