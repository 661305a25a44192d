//! The times at which each host is off: until it is first switched on, in crashes and outages, and while it is away. They
//! are known before a world begins, so that nobody needs to ask a host whether it is there.

use bombyx_protocol::time::{Span, Time};

use crate::host::Host;
use crate::kernel::{Draws, Purpose, Wave};
use crate::scenario::{self, Regions, RoleName, Scenario};

/// Nobody starts at the same instant: hosts that are there from the start come on within this.
const FIRST_ON: Span = Span::from_s(1);

/// A host is off from the first moment until the second.
pub type Off = (Time, Time);

/// A host gains or loses power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Switch {
    /// When.
    pub at: Time,
    /// Which host.
    pub host: u32,
    /// Whether it has power from then on.
    pub is_on: bool,
}

/// The hosts that have power at one moment, which only moves forward.
#[derive(Debug)]
pub(crate) struct Awake {
    hosts: Vec<bool>,
    /// How many switches are past.
    past: usize,
}

impl Awake {
    /// Creates it for so many hosts, all without power.
    pub(crate) fn nobody(hosts: usize) -> Self {
        Self { hosts: vec![false; hosts], past: 0 }
    }

    /// Lets time pass until `now`, with everything that is switched at that very moment. `all` is the same every time.
    pub(crate) fn pass(&mut self, all: &[Switch], now: Time) {
        while let Some(switch) = all.get(self.past).filter(|switch| switch.at <= now) {
            self.hosts[switch.host as usize] = switch.is_on;
            self.past += 1;
        }
    }

    /// Returns whether a host has power.
    pub(crate) fn is_up(&self, host: u32) -> bool {
        self.hosts[host as usize]
    }
}

/// The causes of outages, and the draws that decide them.
#[derive(Debug)]
pub struct Power<'a> {
    scenario: &'a Scenario,
    draws: &'a Draws,
    /// The regions of each outage, one bit each.
    outages: Vec<u32>,
    /// From here on, hosts that come and go stay.
    calm_from: Time,
}

impl<'a> Power<'a> {
    /// Draws the power of a scenario whose last order comes at `last_order`: from then on every host that has not left for
    /// good stays on, so that channels can be settled.
    #[must_use]
    pub fn new(scenario: &'a Scenario, draws: &'a Draws, regions: &Regions, last_order: Time) -> Self {
        let bits = |names: &[String]| {
            names.iter().filter_map(|name| regions.find(name)).fold(0, |bits, region| bits | 1 << region)
        };
        let outages = scenario.outage.iter().map(|outage| bits(&outage.regions)).collect();
        Self { scenario, draws, outages, calm_from: last_order }
    }

    /// Returns the times in which a host is off, ascending and apart from each other. `None` for a
    /// host that neither buys nor sells: it is there all the time.
    #[must_use]
    pub fn off(&self, host: u32, role: Option<RoleName>, region: u8) -> Vec<Off> {
        let name = u64::from(host);
        let first_on = Time(self.draws.below(FIRST_ON.0, Purpose::Crash, &[name, u64::MAX]));
        let mut off = vec![(Time(0), first_on)];
        if let Some(role) = role {
            self.crashes(name, role, &mut off);
            self.outages(name, region, &mut off);
            if role == RoleName::Provider {
                self.churn(name, first_on, &mut off);
            }
        }
        union(off)
    }

    /// Returns everything that is switched, in order.
    #[must_use]
    pub fn switches(&self, hosts: &[Host]) -> Vec<Switch> {
        let mut switches = Vec::new();
        for (number, host) in (0u32..).zip(hosts) {
            for (from, until) in self.off(number, host.role(), host.location.region) {
                if from > Time(0) {
                    switches.push(Switch { at: from, host: number, is_on: false });
                }
                if until < Time::NEVER {
                    switches.push(Switch { at: until, host: number, is_on: true });
                }
            }
        }
        switches.sort_unstable();
        switches
    }

    fn crashes(&self, host: u64, role: RoleName, off: &mut Vec<Off>) {
        for (number, crash) in (0u64..).zip(&self.scenario.crash) {
            if role == crash.role && self.draws.happens(crash.share, Purpose::Crash, &[number, host]) {
                off.push((scenario::at(crash.at_s), scenario::at(crash.at_s + crash.for_s)));
            }
        }
    }

    fn outages(&self, host: u64, region: u8, off: &mut Vec<Off>) {
        for ((number, outage), regions) in (0u64..).zip(&self.scenario.outage).zip(&self.outages) {
            let is_there = regions >> region & 1 == 1;
            if is_there && self.draws.happens(outage.share, Purpose::Outage, &[number, host]) {
                off.push((scenario::at(outage.from_s), scenario::at(outage.until_s)));
            }
        }
    }

    fn churn(&self, host: u64, first_on: Time, off: &mut Vec<Off>) {
        let churn = &self.scenario.churn;
        let moment = |place: u64| churn.over_s * self.draws.unit(Purpose::Join, &[host, place]);
        let joins = if self.draws.happens(churn.late_share, Purpose::Join, &[host, 0]) {
            off.push((Time(0), scenario::at(moment(1))));
            scenario::at(moment(1))
        } else {
            first_on
        };
        if self.draws.happens(churn.leave_share, Purpose::Join, &[host, 2]) {
            off.push((joins + scenario::span(moment(3)), Time::NEVER));
        }
        if self.draws.happens(churn.share, Purpose::Session, &[host]) {
            self.sessions(host, joins, off);
        }
    }

    fn sessions(&self, host: u64, joins: Time, off: &mut Vec<Off>) {
        let churn = &self.scenario.churn;
        let wave = Wave { swing: churn.daily_swing, ..self.scenario.workload.wave() };
        let away_share = churn.away_s / (churn.away_s + churn.session_s);
        let mut is_away = self.draws.happens(away_share, Purpose::Session, &[host, 0]);
        let (mut at, calm) = (joins.0 as f64 / 1e6, self.calm_from.0 as f64 / 1e6);
        for number in 1u64.. {
            if at >= calm {
                break;
            }
            let about = [host, number];
            if is_away {
                let wait = churn.away_s * self.draws.exponential(1.0, Purpose::Session, &about);
                let back = wave.after(at, wait).min(calm);
                off.push((scenario::at(at), scenario::at(back)));
                at = back;
            } else {
                at += churn.session_s * churn.law().draw(self.draws, Purpose::Session, &about);
            }
            is_away = !is_away;
        }
    }
}

/// Joins what overlaps or touches.
fn union(mut off: Vec<Off>) -> Vec<Off> {
    off.retain(|(from, until)| from < until);
    off.sort_unstable();
    let mut joined: Vec<Off> = Vec::with_capacity(off.len());
    for (from, until) in off {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(until),
            Some(_) | None => joined.push((from, until)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(text: &str) -> Scenario {
        Scenario::parse("test.toml", text).expect("a scenario")
    }

    fn off(scenario: &Scenario, host: u32, last_s: f64) -> Vec<Off> {
        let (draws, regions) = (Draws::new(1), Regions::shipped());
        let power = Power::new(scenario, &draws, &regions, scenario::at(last_s));
        power.off(host, Some(RoleName::Provider), 7)
    }

    #[test]
    fn what_overlaps_is_one_time_off() {
        let at = |from, until| (Time(from), Time(until));
        let all = vec![at(50, 60), at(0, 5), at(5, 9), at(20, 30), at(25, 40), at(22, 23), at(7, 7)];
        assert_eq!(union(all), [at(0, 9), at(20, 40), at(50, 60)]);
    }

    #[test]
    fn who_is_awake_follows_the_switches() {
        let switch = |at, host, is_on| Switch { at: Time(at), host, is_on };
        let all = [switch(1, 0, true), switch(2, 1, true), switch(5, 0, false), switch(9, 0, true)];
        let mut awake = Awake::nobody(2);
        let mut seen = |now| {
            awake.pass(&all, Time(now));
            (awake.is_up(0), awake.is_up(1))
        };
        assert_eq!([seen(0), seen(1), seen(4)], [(false, false), (true, false), (true, true)]);
        assert_eq!([seen(5), seen(8), seen(9)], [(false, true), (false, true), (true, true)]);
    }

    #[test]
    fn an_outage_takes_its_regions_and_no_other() {
        let cut = "[[outage]]\nfrom_s = 10.0\nuntil_s = 20.0\nregions = [\"WEU\"]\n";
        let there = off(&scenario(cut), 3, 100.0);
        assert_eq!(there.last(), Some(&(scenario::at(10.0), scenario::at(20.0))));
        assert_eq!(off(&scenario(&cut.replace("WEU", "JPE")), 3, 100.0).len(), 1);
    }

    #[test]
    fn who_comes_and_goes_is_there_for_its_share_of_the_time_and_at_the_end() {
        let churn =
            scenario("[churn]\nshare = 1.0\nsession_s = 60.0\naway_s = 20.0\nsession_law = \"weibull\"\n");
        let mut away_s = 0.0;
        for host in 0..200 {
            let off = off(&churn, host, 4_000.0);
            assert!(off.windows(2).all(|pair| pair[0].1 < pair[1].0), "they are apart");
            assert!(off.last().is_some_and(|(_, until)| *until <= scenario::at(4_000.0)));
            away_s += off.iter().map(|(from, until)| until.since(*from).0 as f64 / 1e6).sum::<f64>();
        }
        let share = away_s / (200.0 * 4_000.0);
        assert!((share - 0.25).abs() < 0.02, "{share}");
    }

    #[test]
    fn who_leaves_for_good_stays_away() {
        let leaving = scenario("[churn]\nleave_share = 1.0\nlate_share = 1.0\nover_s = 30.0\n");
        for host in 0..20 {
            let off = off(&leaving, host, 10.0);
            assert_eq!((off[0].0, off[off.len() - 1].1), (Time(0), Time::NEVER));
            assert!(off[off.len() - 1].0 <= scenario::at(60.0), "{off:?}");
        }
    }
}
