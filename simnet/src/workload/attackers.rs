//! Which hosts attack, with what and with whom: drawn before a world begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::cost::CostSheet;

use crate::actors::{AttackPlan, Card, Name, Partner, WHOLE};
use crate::host::{Engine, Host, Profile, Speed};
use crate::kernel::{Draws, Purpose};
use crate::scenario::{AttackKind, RoleName, Scenario};

/// Gives every client that trades with itself a provider of one of its models, which nobody else has.
pub(super) fn pair_up(hosts: &mut [Host]) {
    let washes = |host: &Host| host.plan.is_some_and(|plan| plan.kind == AttackKind::WashTrader);
    for client in 0..hosts.len() {
        let Profile::Client { models, .. } = &hosts[client].profile else { continue };
        if !washes(&hosts[client]) {
            continue;
        }
        let is_fit = |host: &Host| match &host.profile {
            Profile::Provider { model, .. } => host.plan.is_none() && models.contains(model),
            Profile::Client { .. } | Profile::Watcher { .. } => false,
        };
        let Some(provider) = hosts.iter().position(is_fit) else { continue };
        let node = hosts[provider].node;
        let partner = hosts[provider].offer().map(|offer| Partner { node, model: offer.model });
        hosts[client].accomplices.get_or_insert_default().partner = partner;
        hosts[provider].plan = hosts[client].plan;
        if hosts[client].plan.is_some_and(|plan| plan.is_real()) {
            make_nothing(&mut hosts[provider]);
        }
    }
}

/// Makes exactly as many hosts take part as an attack that counts them says: those that draw the least.
pub(super) fn count_out(scenario: &Scenario, draws: &Draws, hosts: &mut [Host]) {
    for (location, attack) in scenario.attack.iter().enumerate() {
        let Some(count) = attack.count else { continue };
        let mut able: Vec<(u64, usize)> = hosts
            .iter()
            .enumerate()
            .filter(|(_, host)| host.role() == Some(attack.kind.role()) && host.plan.is_none())
            .map(|(number, _)| (draws.bits(Purpose::Attack, &[location as u64, number as u64]), number))
            .collect();
        able.sort_unstable();
        for (_, number) in able.into_iter().take(count as usize) {
            hosts[number].plan = Some(AttackPlan::new(location, attack));
        }
    }
}

/// Gives every provider of one owner its place among the names, and those that share a card the card of the first. In an
/// honest twin the owner has one name.
pub(super) fn name_all(scenario: &Scenario, hosts: &mut [Host]) {
    let mut owners: BTreeMap<usize, (Name, Option<Card>)> = BTreeMap::new();
    for host in hosts {
        let Some(plan) = host.plan.filter(|_| host.is_provider()) else { continue };
        let Some(spec) = scenario.attack.get(plan.attack).filter(|spec| spec.is_one_owner()) else {
            continue;
        };
        let slots = host.offer().map_or(0, |offer| offer.slots);
        let shares = matches!(spec.kind, AttackKind::Sybil | AttackKind::Shill);
        let at_a_time = match (shares, plan.is_real()) {
            (true, true) => spec.names.unwrap_or(u32::MAX),
            (true, false) => 1,
            (false, _) => spec.names.unwrap_or(1),
        };
        let first = || {
            let name = Name {
                place: 0,
                at_a_time,
                jobs: spec.jobs_per_name.unwrap_or(u32::MAX),
                left: Arc::default(),
            };
            (name, shares.then(|| Card::new(slots)))
        };
        let (name, card) = owners.entry(plan.attack).or_insert_with(first);
        let accomplices = host.accomplices.get_or_insert_default();
        accomplices.name = Some(name.clone());
        accomplices.card = card.clone();
        name.place += 1;
    }
}

/// Appoints who bids as ever: in a ring the cheapest of each model, among the names of a shill the first, whose costs the
/// others have.
pub(super) fn appoint(hosts: &mut [Host]) {
    let mut leaders: BTreeMap<(usize, u32), (Nano, usize)> = BTreeMap::new();
    for (number, host) in hosts.iter().enumerate() {
        let (Some(plan), Profile::Provider { model, .. }) = (host.plan, &host.profile) else { continue };
        let (rank, model) = if plan.kind == AttackKind::Ring {
            (host.cost_of((1_000, 1_000)).unwrap_or_default(), *model)
        } else if plan.kind == AttackKind::Shill {
            (Nano(0), 0)
        } else {
            continue;
        };
        let leader = leaders.entry((plan.attack, model)).or_insert((rank, number));
        if rank < leader.0 {
            *leader = (rank, number);
        }
    }
    for ((attack, _), (_, leader)) in leaders {
        if let Some(plan) = &mut hosts[leader].plan {
            plan.bid_ppm = WHOLE;
        }
        let Profile::Provider { offer, cost, .. } = &hosts[leader].profile else { continue };
        let (asked, costs) = (offer.cost, *cost);
        for host in hosts.iter_mut() {
            let is_name =
                host.plan.is_some_and(|plan| plan.attack == attack && plan.kind == AttackKind::Shill);
            if let Profile::Provider { offer, cost, .. } = &mut host.profile
                && is_name
            {
                (offer.cost, *cost) = (asked, costs);
            }
        }
    }
}

/// Draws the victims of every eclipse.
pub(super) fn aim(scenario: &Scenario, draws: &Draws, hosts: &mut [Host]) {
    for (number, host) in (0u64..).zip(hosts).filter(|(_, host)| host.is_client()) {
        host.eclipsed = (0u64..)
            .zip(&scenario.attack)
            .filter(|(_, attack)| attack.kind == AttackKind::Eclipse && !attack.honest)
            .filter(|(_, attack)| attack.takes_anybody())
            .find(|(location, attack)| draws.happens(attack.victims, Purpose::Victim, &[*location, number]))
            .map(|(location, attack)| Box::new(AttackPlan::new(location as usize, attack)));
    }
}

/// Makes an engine that answers at once with text that cost nothing.
fn make_nothing(host: &mut Host) {
    host.engine = Engine::new(Speed {
        prefill_per_s: 1_000_000,
        decode_per_s: 1_000,
        slowdown_milli: 0,
        start: Span(0),
        ..host.engine.speed()
    });
    if let Profile::Provider { cost, .. } = &mut host.profile {
        *cost = CostSheet::default();
    }
}

/// Puts a cheaper model in the place of the one that is offered: a quarter of the cost, three times the speed.
fn substitute(host: &mut Host) {
    let speed = host.engine.speed();
    host.engine = Engine::new(Speed {
        prefill_per_s: speed.prefill_per_s * 3,
        decode_per_s: speed.decode_per_s * 3,
        ..speed
    });
    if let Profile::Provider { cost, .. } = &mut host.profile {
        *cost = cost.scaled(250_000);
    }
}

/// Gives an attacker its place, its card and its prices, as far as they hold for all of a run.
pub(super) fn equip(scenario: &Scenario, host: &mut Host, number: u32) {
    let Some(plan) = &mut host.plan else { return };
    let Some(spec) = scenario.attack.get(plan.attack) else { return };
    if plan.kind == AttackKind::Sybil {
        plan.bid_ppm = plan.bid_ppm * (100 + 15 * u64::from(number % 4)) / 100;
    }
    let is_real = plan.is_real();
    if spec.near {
        (host.location.access, host.location.relay) = (0, None);
    }
    if let Some(factor) = spec.speed_factor {
        quicken(host, factor);
    }
    if is_real && spec.kind == AttackKind::Garbage {
        make_nothing(host);
    } else if is_real && spec.kind == AttackKind::Substitution {
        substitute(host);
    }
}

/// Makes a card faster or slower; what is promised follows.
fn quicken(host: &mut Host, factor: f64) {
    let speed = host.engine.speed();
    let scaled = |value: u64| ((value as f64 * factor) as u64).max(1);
    host.engine = Engine::new(Speed {
        prefill_per_s: scaled(speed.prefill_per_s),
        decode_per_s: scaled(speed.decode_per_s),
        ..speed
    });
    if let Profile::Provider { offer, .. } = &mut host.profile {
        offer.read_tps = ((f64::from(offer.read_tps) * factor) as u32).max(1);
        offer.write_tps = ((f64::from(offer.write_tps) * factor) as u32).max(1);
    }
}

/// Returns the first attack that a host takes part in.
pub(super) fn plan(scenario: &Scenario, draws: &Draws, host: &Host, number: u32) -> Option<AttackPlan> {
    (0u64..)
        .zip(&scenario.attack)
        .filter(|(_, attack)| match attack.kind.role() {
            RoleName::Client => host.is_client(),
            RoleName::Provider => host.is_provider(),
        })
        .find(|(location, attack)| {
            draws.happens(attack.share, Purpose::Attack, &[*location, u64::from(number)])
        })
        .map(|(location, attack)| AttackPlan::new(location as usize, attack))
}
