//! The hosts of a world: clients first, then providers, each drawn from the seed and its own number alone.

use std::collections::{BTreeMap, BTreeSet};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig, MarketPolicy};
use bombyx_protocol::io::Offer;
use bombyx_protocol::market::ask;
use bombyx_protocol::market::ranking::Rule;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::TaskKind;
use bombyx_protocol::work::price::{InputTokens, Weights};

use crate::actors::WHOLE;
use crate::host::{Engine, Host, Profile, Speed};
use crate::kernel::{Draws, Purpose, Zipf};
use crate::network::locate;
use crate::scenario::{CALENDAR_S, GpuClass, Mechanism, Regions, Scenario, model_id};
use crate::workload::attackers;

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
            host.plan = attackers::plan(scenario, draws, &host, number);
            host
        })
        .collect();
    attackers::count_out(scenario, draws, &mut hosts);
    (0u32..).zip(&mut hosts).for_each(|(number, host)| attackers::equip(scenario, host, number));
    attackers::pair_up(&mut hosts);
    attackers::name_all(scenario, &mut hosts);
    attackers::appoint(&mut hosts);
    attackers::aim(scenario, draws, &mut hosts);
    hosts
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
        market: MarketPolicy {
            rule: rule(market.mechanism),
            measures: market.measures,
            quota: market.quota,
            ceiling: market.ceiling,
            direct: market.direct,
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

const fn rule(mechanism: Mechanism) -> Rule {
    match mechanism {
        Mechanism::Reserve => Rule::Reserve,
        Mechanism::SecondScore => Rule::SecondScore,
        Mechanism::FirstPrice | Mechanism::Posted => Rule::FirstScore,
        Mechanism::Cheapest => Rule::Cheapest,
        Mechanism::Random => Rule::Random,
    }
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
        answers: 1,
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
            let classes = ask::asked(TaskKind::Generate);
            let input = InputTokens::fresh(classes.input_tokens());
            let answer = classes.output_tokens_max() / 4;
            let asked = |sheet: CostSheet| sheet.quote(&Weights::DEFAULT, input, answer);
            (posted, if asked(posted) >= asked(cost) { class.slots } else { 0 })
        }
        Mechanism::Reserve
        | Mechanism::SecondScore
        | Mechanism::FirstPrice
        | Mechanism::Cheapest
        | Mechanism::Random => (cost, class.slots),
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
        answers: u64::from(class.slots),
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
