//! A new channel: its terms, and the salt that gives it an account of its own.

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::channel::id::ChannelId;
use crate::channel::pay::Payer;
use crate::channel::salt::salt;
use crate::channel::terms::ChannelTerms;
use crate::client::config::ClientConfig;
use crate::limits;
use crate::market::bid::Payee;
use crate::outbox::Outbox;
use crate::time::Time;

use super::Payments;
use super::channel::Channel;

impl Payments {
    /// Checks that the user may open a channel to this payee with this deposit.
    ///
    /// # Errors
    /// [`PaymentFault`] tells why not.
    pub(in crate::client) fn may_open_for(
        &self,
        payee: &Payee,
        deposit: Nano,
        config: &ClientConfig,
    ) -> Result<(), PaymentFault> {
        let policy = &config.policy;
        self.may_open(payee, policy.challenge_s_max.max(config.challenge_s))?;
        if deposit > policy.deposit_max {
            return Err(PaymentFault::DepositTooLow { needs: deposit, most: policy.deposit_max });
        }
        self.check_terms(payee, config)
    }

    /// Checks that a new channel can be opened to this payee.
    ///
    /// # Errors
    /// [`PaymentFault`] tells why not.
    pub(in crate::client) fn may_open(
        &self,
        payee: &Payee,
        challenge_s_max: u32,
    ) -> Result<(), PaymentFault> {
        self.has_room()?;
        if payee.challenge_s > challenge_s_max {
            let (wanted_s, most_s) = (payee.challenge_s, challenge_s_max);
            return Err(PaymentFault::ChallengeTooLong { wanted_s, most_s });
        }
        Ok(())
    }

    /// Checks the terms of a new channel: such as a provider itself could not accept would make one that nobody can leave.
    ///
    /// # Errors
    /// [`PaymentFault::Terms`] tells why not.
    pub(super) fn check_terms(&self, payee: &Payee, config: &ClientConfig) -> Result<(), PaymentFault> {
        Ok(self.terms_with(payee, 0, config).check(config.network_id)?)
    }

    /// Checks that this client may have one channel more.
    pub(super) fn has_room(&self) -> Result<(), PaymentFault> {
        let most = limits::CHANNELS_MAX;
        if self.channels().count() < most { Ok(()) } else { Err(PaymentFault::TooManyChannels { most }) }
    }

    /// Returns the terms of a new channel that were checked.
    pub(in crate::client) fn agree(&self, payee: &Payee, draw: u64, config: &ClientConfig) -> ChannelTerms {
        self.terms_with(payee, self.fresh_salt(&payee.key, draw), config)
    }

    fn terms_with(&self, payee: &Payee, salt: u64, config: &ClientConfig) -> ChannelTerms {
        ChannelTerms {
            network_id: payee.network_id,
            salt,
            client_key: self.key.verifying_key().to_bytes(),
            provider_key: payee.key,
            client: config.wallet,
            provider: payee.address,
            challenge_s: config.challenge_s.max(payee.challenge_s),
        }
    }

    /// Writes a new channel down and asks the ledger for it.
    pub(in crate::client) fn open(&mut self, now: Time, payer: Payer, outbox: &mut Outbox) -> ChannelId {
        let account = self.propose(Channel::proposed(now, payer));
        self.fund(now, &account, false, outbox);
        account
    }

    /// Keeps a channel that a job may need. The ledger hears nothing of it.
    pub(super) fn propose(&mut self, channel: Channel) -> ChannelId {
        let account = channel.payer.account();
        self.deadlines.touch(account);
        self.proposed.insert(account);
        self.channels.insert(account, Box::new(channel));
        account
    }

    /// Forgets proposed channels that no job uses any more: nobody else knows them.
    pub(in crate::client) fn forget_proposed(&mut self, in_use: impl Fn(&ChannelId) -> bool) {
        let unused: Vec<ChannelId> =
            self.proposed.iter().filter(|account| !in_use(account)).copied().collect();
        for account in unused {
            self.proposed.remove(&account);
            self.channels.remove(&account);
        }
    }

    /// Returns a salt that none of this client's channels to this provider has, beginning with the one
    /// that `draw` picks. (`CH-28`)
    fn fresh_salt(&self, provider_key: &[u8; 32], draw: u64) -> u64 {
        let start = draw.checked_rem(u64::from(limits::SALTS_PER_PROVIDER)).unwrap_or(0);
        let start = u32::try_from(start).unwrap_or(0);
        let in_use = |salt: &u64| {
            let mut terms = self.channels.values().map(|channel| channel.payer.terms());
            terms.any(|terms| terms.provider_key == *provider_key && terms.salt == *salt)
        };
        let later = start..limits::SALTS_PER_PROVIDER;
        let mut salts = later.chain(0..start).map(|index| salt(self.key.as_bytes(), provider_key, index));
        salts.find(|salt| !in_use(salt)).unwrap_or(draw)
    }
}
