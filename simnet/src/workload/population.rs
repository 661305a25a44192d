//! The hosts of a world: clients first, then providers, each drawn from the seed and its own number alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::io::Offer;
use bombyx_protocol::market::ask::ASKED;
use bombyx_protocol::market::auction::Rule;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::TaskKind;
use bombyx_protocol::work::price::{InputTokens, Weights};

use crate::actors::{AttackPlan, Card, Name, Partner, WHOLE};
use crate::host::{Engine, Host, Profile, Speed};
use crate::kernel::{Draws, Purpose, Zipf};
use crate::network::locate;
use crate::scenario::{AttackKind, CALENDAR_S, GpuClass, Mechanism, Regions, RoleName, Scenario, model_id};

/// The ledger's network id in every world: that of a test network.
pub const NETWORK_ID: i32 = -3;
/// Tokens that every model can hold.
const CONTEXT_TOKENS: u32 = 131_072;

/// Distinguishes the keys of one host.
#[derive(Clone, Copy)]
enum Key {
    Identity,
    Channel,
    Session,
    Close,
    Wallet,
}

/// Returns all hosts of a scenario, switched off: hosts `0..client_count` buy, the others sell.
#[must_use]
pub fn hosts(scenario: &Scenario, draws: &Draws) -> Vec<Host> {
    let regions = Regions::shipped().names.len();
    let clients = scenario.client_count();
    let demand = Zipf::new(scenario.population.models as usize, scenario.population.demand_zipf);
    let supply = Zipf::new(scenario.population.models as usize, scenario.population.supply_zipf);
    let mut hosts: Vec<Host> = (0..scenario.nodes + scenario.market.watchers)
        .map(|number| {
            let mut host = if number < clients {
                client(scenario, draws, &demand, regions, number)
            } else if number < scenario.nodes {
                provider(scenario, draws, &supply, regions, number)
            } else {
                watcher(scenario, draws, regions, number)
            };
            host.plan = plan(scenario, draws, &host, number);
            host
        })
        .collect();
    count_out(scenario, draws, &mut hosts);
    (0u32..).zip(&mut hosts).for_each(|(number, host)| equip(scenario, host, number));
    pair_up(&mut hosts);
    name_all(scenario, &mut hosts);
    appoint(&mut hosts);
    aim(scenario, draws, &mut hosts);
    hosts
}

/// Gives every client that trades with itself a provider of one of its models, which nobody else has.
fn pair_up(hosts: &mut [Host]) {
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
fn count_out(scenario: &Scenario, draws: &Draws, hosts: &mut [Host]) {
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
fn name_all(scenario: &Scenario, hosts: &mut [Host]) {
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
fn appoint(hosts: &mut [Host]) {
    let mut leaders: BTreeMap<(usize, u32), (Nano, usize)> = BTreeMap::new();
    for (number, host) in hosts.iter().enumerate() {
        let (Some(plan), Profile::Provider { model, .. }) = (host.plan, &host.profile) else { continue };
        let (rank, model) = match plan.kind {
            AttackKind::Ring => (host.cost_of((1_000, 1_000)).unwrap_or_default(), *model),
            AttackKind::Shill => (Nano(0), 0),
            _ => continue,
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
fn aim(scenario: &Scenario, draws: &Draws, hosts: &mut [Host]) {
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

/// Returns how many names the owner behind each attack has.
#[must_use]
pub fn names_by_owner<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> BTreeMap<usize, u64> {
    let mut names = BTreeMap::new();
    for plan in hosts.into_iter().filter_map(|host| host.plan) {
        *names.entry(plan.attack).or_default() += 1;
    }
    names
}

/// Returns what a host's wallet holds at the start: an attacker's budget, which all names of one
/// owner share.
#[must_use]
pub fn start_money(scenario: &Scenario, names: &BTreeMap<usize, u64>, host: &Host) -> Nano {
    let attack = host.plan.and_then(|plan| Some((plan, scenario.attack.get(plan.attack)?)));
    let Some((plan, budget)) = attack.and_then(|(plan, attack)| Some((plan, attack.budget?))) else {
        return scenario.ledger.wallet.0;
    };
    if !scenario.attack[plan.attack].is_one_owner() {
        return budget.0;
    }
    Nano(budget.0.0 / names.get(&plan.attack).copied().unwrap_or_default().max(1))
}

/// Returns the watcher of a provider's channels, if there are any.
#[must_use]
pub fn watcher_of(scenario: &Scenario, provider: u32) -> Option<u32> {
    let number = provider.checked_rem(scenario.market.watchers)?;
    Some(scenario.nodes + number)
}

/// Gives an attacker its place, its card and its prices, as far as they hold for all of a run.
fn equip(scenario: &Scenario, host: &mut Host, number: u32) {
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
    match spec.kind {
        AttackKind::Garbage if is_real => make_nothing(host),
        AttackKind::Substitution if is_real => substitute(host),
        _ => {}
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

/// Returns the one sheet of a posted price: the mean of the classes' median prices by their shares,
/// times the markup.
fn posted(scenario: &Scenario) -> CostSheet {
    let classes = &scenario.population.gpu;
    let shares: f64 = classes.iter().map(|class| class.share).sum();
    let mean = |of: &dyn Fn(&GpuClass) -> Nano| {
        let sum: f64 = classes.iter().map(|class| class.share * of(class).0 as f64).sum();
        Nano((sum / shares * scenario.market.posted_markup) as u64)
    };
    CostSheet {
        per_job: mean(&|class| class.per_job.0),
        input_per_k: mean(&|class| class.input_per_k.0),
        output_per_k: mean(&|class| class.output_per_k.0),
    }
}

/// Returns the first attack that a host takes part in.
fn plan(scenario: &Scenario, draws: &Draws, host: &Host, number: u32) -> Option<AttackPlan> {
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

/// Returns which hosts follow which model's topic.
#[must_use]
pub fn followers(scenario: &Scenario, hosts: &[Host]) -> Vec<BTreeSet<u32>> {
    let mut topics = vec![BTreeSet::new(); scenario.population.models as usize];
    for (index, host) in (0u32..).zip(hosts) {
        if let Profile::Provider { model, .. } = &host.profile {
            topics[*model as usize].insert(index);
        }
    }
    topics
}

fn seed(draws: &Draws, host: u32, key: Key) -> [u8; 32] {
    draws.seed32(Purpose::Keys, &[u64::from(host), key as u64])
}

fn client(scenario: &Scenario, draws: &Draws, demand: &Zipf, regions: usize, host: u32) -> Host {
    let market = &scenario.market;
    let wanted = scenario.population.models_per_client.min(scenario.population.models);
    let mut models: Vec<u32> = Vec::new();
    for attempt in 0u64.. {
        if models.len() >= wanted as usize {
            break;
        }
        // After a while the draw gives way to a count, so that a steep law still fills a long list.
        let model = if attempt < 64 {
            demand.pick(draws.unit(Purpose::Favourites, &[u64::from(host), attempt])) as u32
        } else {
            (attempt - 64) as u32
        };
        if !models.contains(&model) {
            models.push(model);
        }
    }
    let config = ClientConfig {
        identity_seed: seed(draws, host, Key::Identity),
        channel_seed: seed(draws, host, Key::Channel),
        entropy_seed: [0; 32],
        network_id: NETWORK_ID,
        wallet: Address::basechain(seed(draws, host, Key::Wallet)),
        // A host that starts again goes on with the world's clock.
        clock_s: CALENDAR_S,
        deposit: market.deposit.0,
        bid_window: Span::from_ms(market.bid_window_ms),
        enough_bids: market.enough_bids,
        challenge_s: market.challenge_s,
        policy: ChannelPolicy::default(),
        leases: market.leases,
        rule: match market.mechanism {
            Mechanism::SecondScore => Rule::SecondScore,
            Mechanism::FirstPrice | Mechanism::Posted => Rule::FirstScore,
            Mechanism::Cheapest => Rule::Cheapest,
            Mechanism::Random => Rule::Random,
        },
    };
    let location = locate(
        regions,
        &scenario.network.client_access,
        scenario.network.client_nat_share,
        draws,
        u64::from(host),
    );
    Host::new(Profile::Client { config: Box::new(config), models }, location, no_engine())
}

fn watcher(scenario: &Scenario, draws: &Draws, regions: usize, host: u32) -> Host {
    let wallet = Address::basechain(seed(draws, host, Key::Wallet));
    let identity_seed = seed(draws, host, Key::Identity);
    let location = locate(regions, &scenario.network.provider_access, 0.0, draws, u64::from(host));
    Host::new(Profile::Watcher { identity_seed, wallet }, location, no_engine())
}

fn no_engine() -> Engine {
    Engine::new(Speed {
        prefill_per_s: 1,
        decode_per_s: 1,
        slowdown_milli: 0,
        start: Span(0),
        chunk_tokens: 1,
    })
}

fn provider(scenario: &Scenario, draws: &Draws, supply: &Zipf, regions: usize, host: u32) -> Host {
    let market = &scenario.market;
    let population = &scenario.population;
    let about = [u64::from(host)];
    let gpu = draws.weighted(population.gpu.iter().map(|class| class.share), Purpose::Gpu, &about);
    let class = &population.gpu[gpu];
    let number = host - scenario.client_count();
    // The first of all make sure that no model is without a provider while there are enough of them.
    let model = if number < population.models {
        number
    } else {
        supply.pick(draws.unit(Purpose::Model, &about)) as u32
    };
    let cost = price(class, draws.lognormal(1.0, population.price_sigma, Purpose::Price, &about));
    let (asked, slots) = match market.mechanism {
        Mechanism::Posted => {
            let posted = posted(scenario);
            let input = InputTokens::fresh(ASKED.input_tokens());
            let answer = ASKED.output_tokens_max() / 4;
            let asked = |sheet: CostSheet| sheet.quote(&Weights::DEFAULT, input, answer);
            (posted, if asked(posted) >= asked(cost) { class.slots } else { 0 })
        }
        Mechanism::SecondScore | Mechanism::FirstPrice | Mechanism::Cheapest | Mechanism::Random => {
            (cost, class.slots)
        }
    };
    let asked = asked.scaled((class.bid_factor * WHOLE as f64) as u64);
    let offer = Offer {
        model: model_id(model),
        name: format!("model-{model}"),
        kind: TaskKind::Generate,
        cost: asked,
        weights: Weights::DEFAULT,
        slots,
        start_ms: u32::try_from(class.start_ms).unwrap_or(u32::MAX),
        read_tps: u32::try_from(class.prefill_per_s).unwrap_or(u32::MAX),
        write_tps: u32::try_from(class.decode_per_s).unwrap_or(u32::MAX),
        context_tokens: CONTEXT_TOKENS,
        output_max: CONTEXT_TOKENS,
    };
    let config = ProviderConfig {
        identity_seed: seed(draws, host, Key::Identity),
        session_seed: seed(draws, host, Key::Session),
        close_seed: seed(draws, host, Key::Close),
        entropy_seed: [0; 32],
        clock_s: CALENDAR_S,
        network_id: NETWORK_ID,
        payout: Address::basechain(seed(draws, host, Key::Wallet)),
        challenge_s: market.challenge_s,
        credit: CreditLimits { per_client: market.credit.0, per_hour: market.credit_per_hour.0 },
        settle_at: market.settle_at.0,
    };
    let speed = Speed {
        prefill_per_s: class.prefill_per_s,
        decode_per_s: class.decode_per_s,
        slowdown_milli: (class.batch_slowdown * 1e3) as u64,
        start: Span::from_ms(class.start_ms),
        chunk_tokens: scenario.workload.report_tokens,
    };
    let location = locate(
        regions,
        &scenario.network.provider_access,
        scenario.network.provider_nat_share,
        draws,
        u64::from(host),
    );
    let profile = Profile::Provider {
        config: Box::new(config),
        offer: Box::new(offer),
        cost,
        model,
        gpu: u32::try_from(gpu).unwrap_or(0),
    };
    Host::new(profile, location, Engine::new(speed))
}

fn price(class: &GpuClass, factor: f64) -> CostSheet {
    let scaled = |nano: Nano| Nano((nano.0 as f64 * factor) as u64);
    CostSheet {
        per_job: scaled(class.per_job.0),
        input_per_k: scaled(class.input_per_k.0),
        output_per_k: scaled(class.output_per_k.0),
    }
}
