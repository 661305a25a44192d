//! What a provider may serve on a channel, event after event: the vectors of `spec/06-channel.md` section 3, which an
//! independent implementation of that page wrote.
#![allow(clippy::unwrap_used)]

mod vectors;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::ledger::ChannelState;
use bombyx_protocol::channel::voucher::{Acceptance, VoucherFault};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::limits;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::price::Tariff;
use serde_json::Value;
use vectors::{file, fixed, input, list, long, nano, payment, price, terms, text, weights};

const WINDOWS: &str = include_str!("../../spec/vectors/channel/windows.json");

/// Does one event to a channel, and checks what it answers.
fn step(earner: &mut Earner, step: &Value, window: Nano, name: &str) {
    match text(step, "event") {
        "job" => assert_eq!(earner.exposure.admit(window), step["admitted"].as_bool().unwrap(), "{name}"),
        "serve" => earner.exposure.serve(nano(&step["nano"])),
        "allow" => earner.exposure.allow(Nano::ZERO, nano(&step["nano"])),
        "make" => {
            earner.exposure.allow(nano(&step["nano"]), Nano::ZERO);
            earner.exposure.serve(nano(&step["nano"]));
        }
        "give_up" => earner.exposure.write_off(nano(&step["nano"])),
        "order" => earner.order(long(&step["epoch"])),
        "show" => {
            let closing = step["closing"].as_bool().unwrap().then_some(Span::from_s(9));
            let (epoch, deposit) = (long(&step["epoch"]), nano(&step["deposit"]));
            earner.observe(Time(0), 0, ChannelState { epoch, deposit, settled: Nano::ZERO, closing });
        }
        "voucher" => {
            let expected = match text(step, "expect") {
                "more" => Ok(Acceptance::More),
                "nothing" => Ok(Acceptance::Nothing),
                "early" => Ok(Acceptance::Early),
                "signature" => Err(VoucherFault::Signature),
                "epoch" => Err(VoucherFault::Epoch),
                other => panic!("no verdict {other}"),
            };
            assert_eq!(earner.accept(payment(&step["payment"])), expected, "{name}");
        }
        // So long after that nothing which the ledger showed before counts.
        "restart" => *earner = Earner::restored(earner.record(), u64::MAX),
        other => panic!("no event {other}"),
    }
}

/// (CH-1, CH-5, CH-6, CH-9, CH-38)
#[test]
fn a_channel_may_be_served_on_as_far_as_the_page_says() {
    let vectors = file(WINDOWS);
    let terms = terms(&vectors["terms"]);
    assert_eq!(terms.id(), ChannelId(fixed(&vectors["account"])));
    let cases = list(&vectors, "cases");
    assert!(cases.len() > 15);
    for case in cases {
        let tariff = Tariff { price: price(&case["price"]), weights: weights(&case["weights"]) };
        let window = tariff.cost(input(&case["input"]), limits::WINDOW_TOKENS).unwrap();
        assert_eq!(window, nano(&case["window"]));
        let mut earner = Earner::new(terms.clone(), NodeId(fixed(&vectors["client"])));
        for (index, event) in list(case, "steps").iter().enumerate() {
            let name = format!("{}, step {index}", text(case, "name"));
            step(&mut earner, event, window, &name);
            let found = [
                earner.allowance(window, nano(&case["credit"])),
                earner.unpaid(),
                earner.paid(),
                earner.record().at_risk,
            ];
            let expected = ["may_serve", "unpaid", "paid", "at_risk"].map(|field| nano(&event[field]));
            assert_eq!(found, expected, "{name}");
        }
    }
}
