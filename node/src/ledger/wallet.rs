//! The node's own wallet, version 5r1, and text forms of addresses: the only module that knows tonlib-core.
//!
//! Its 24 words are kept in one file that nobody else may read. They are neither the node's identity nor a channel key:
//! a wallet signs bare hashes too, so a shared key would let one be taken for the other. This module wipes its copies of
//! the words and the secret key; what tonlib-core allocates while it derives the key is freed, but not wiped.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use rand::RngExt as _;
use tonlib_core::TonAddress;
use tonlib_core::cell::BagOfCells;
use tonlib_core::wallet::error::MnemonicError;
use tonlib_core::wallet::mnemonic::{Mnemonic, WORDLIST_EN_SET};
use tonlib_core::wallet::ton_wallet::TonWallet;
use tonlib_core::wallet::wallet_version::WalletVersion;
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;
use zeroize::{Zeroize as _, Zeroizing};

use super::chain::Account;

/// How many messages one transfer may carry; set by the wallet contract.
pub(crate) const MESSAGES_MAX: usize = 255;
/// What one transfer with few messages costs at most, with the wallet's own deployment.
pub(crate) const TRANSFER_FEE_MAX: Nano = Nano(10_000_000);
/// For how long a signed transfer can still be executed, in chain time.
pub const TRANSFER_LIFE: Duration = Duration::from_secs(60);

/// Representation hash of the wallet contract's code, version 5r1.
const CODE_HASH: &str = "20834b7b72b112147e1b2fb457b84e74d1a30f04f737d4f62a668e9552d2b72f";

/// A wallet with its key. The key is wiped when this is dropped, and so is each clone's.
#[derive(Clone)]
pub struct Wallet {
    inner: TonWallet,
}

/// Why there is no wallet, or no transfer.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// Not 24 words of the list that belong together.
    #[error("not a wallet's 24 words: {0}")]
    Words(String),
    /// The file cannot be read or written.
    #[error("wallet file {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others could read the words.
    #[error(
        "wallet file {path} can be read by others; run `chmod 600` on it, and move the coins if others had access"
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
    /// A transfer without messages, or with more than `MESSAGES_MAX`.
    #[error("a transfer carries 1 to {MESSAGES_MAX} messages, not {0}")]
    Messages(usize),
    /// A cell that the wallet library refuses.
    #[error("the wallet library refused a cell: {0}")]
    Cell(String),
}

impl Wallet {
    /// Returns the wallet of 24 words on the network with this global id.
    ///
    /// # Errors
    /// [`WalletError::Words`] if they are no wallet's words.
    pub fn from_words(words: &str, network_id: i32) -> Result<Self, WalletError> {
        let words_error = |error: MnemonicError| {
            // The library's text would repeat a word of the secret.
            let hidden = matches!(error, MnemonicError::InvalidWord(_));
            let text = if hidden { "one is not in the list".into() } else { error.to_string() };
            WalletError::Words(text)
        };
        let mnemonic = Mnemonic::from_str(words, &None).map_err(words_error)?;
        let keys = mnemonic.to_key_pair().map_err(words_error)?;
        // The id of a v5 wallet: the network's global id, mixed with workchain, version and subwallet, all zero here.
        let wallet_id = network_id ^ i32::MIN;
        let inner = TonWallet::new_with_params(WalletVersion::V5R1, keys, 0, wallet_id)
            .map_err(|error| WalletError::Cell(error.to_string()))?;
        Ok(Self { inner })
    }

    /// Draws twenty-four fresh words.
    #[must_use]
    pub fn generate_words() -> Zeroizing<String> {
        let list: Vec<&str> = WORDLIST_EN_SET.keys().copied().collect();
        loop {
            let words: Vec<&str> = (0..24).map(|_| list[rand::rng().random_range(0..list.len())]).collect();
            let words = Zeroizing::new(words.join(" "));
            // One in 256 has the checksum of a wallet without password.
            if Mnemonic::from_str(&words, &None).is_ok() {
                return words;
            }
        }
    }

    /// Returns the wallet of this file; a new one is made, and written with access for its owner
    /// only, if there is none.
    ///
    /// # Errors
    /// [`WalletError::File`], [`WalletError::Exposed`], or [`WalletError::Words`] for what the file holds.
    pub fn load_or_create(path: &Path, network_id: i32) -> Result<Self, WalletError> {
        let file_error = |source| WalletError::File { path: path.into(), source };
        match fs::metadata(path) {
            Ok(metadata) => {
                #[cfg(unix)]
                if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
                    return Err(WalletError::Exposed { path: path.into() });
                }
                #[cfg(not(unix))]
                let _ = metadata;
                let words = Zeroizing::new(fs::read_to_string(path).map_err(file_error)?);
                Self::from_words(words.trim(), network_id)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let words = Self::generate_words();
                let mut options = fs::OpenOptions::new();
                options.write(true).create_new(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file = options.open(path).map_err(file_error)?;
                file.write_all(words.as_bytes()).map_err(file_error)?;
                file.sync_all().map_err(file_error)?;
                Self::from_words(&words, network_id)
            }
            Err(error) => Err(file_error(error)),
        }
    }

    /// Returns where this wallet lives.
    #[must_use]
    pub fn address(&self) -> Address {
        from_ton(&self.inner.address)
    }

    /// Returns the number that the next transfer must carry, from the wallet's account; 0 before
    /// its first use.
    #[must_use]
    pub fn next_seqno(account: &Account) -> u32 {
        let read = || {
            let mut data = account.contract.as_ref()?.data.as_slice().ok()?;
            data.load_bit().ok()?;
            data.load_u32().ok()
        };
        read().unwrap_or(0)
    }

    /// Returns whether this is the code of such a wallet.
    #[must_use]
    pub fn is_wallet(code: &Cell) -> bool {
        hex::encode(code.repr_hash().0) == CODE_HASH
    }

    /// Returns a signed transfer of complete internal messages, serialised. The first one also
    /// deploys the wallet.
    ///
    /// # Errors
    /// [`WalletError::Messages`] for none or too many.
    pub fn transfer(
        &self,
        seqno: u32,
        valid_until_s: u32,
        messages: &[Cell],
    ) -> Result<Vec<u8>, WalletError> {
        if messages.is_empty() || messages.len() > MESSAGES_MAX {
            return Err(WalletError::Messages(messages.len()));
        }
        let cell_error = |error: &dyn std::fmt::Display| WalletError::Cell(error.to_string());
        let messages = messages
            .iter()
            .map(|cell| BagOfCells::parse(&Boc::encode(cell)).and_then(BagOfCells::single_root))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| cell_error(&error))?;
        let message = self
            .inner
            .create_external_msg(valid_until_s, seqno, seqno == 0, messages)
            .map_err(|error| cell_error(&error))?;
        BagOfCells::from_root(message).serialize(true).map_err(|error| cell_error(&error))
    }
}

impl Drop for Wallet {
    fn drop(&mut self) {
        self.inner.key_pair.secret_key.zeroize();
    }
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wallet({})", self.address())
    }
}

/// Reads an address in raw (`0:...`) or user-friendly (`EQ...`, `UQ...`) form.
#[must_use]
pub fn parse_address(text: &str) -> Option<Address> {
    TonAddress::from_str(text).ok().as_ref().map(from_ton)
}

/// Returns the user-friendly form for wallets: `UQ...`, or `0Q...` on a test network.
#[must_use]
pub fn friendly(address: Address, test_network: bool) -> String {
    TonAddress::new(i32::from(address.workchain), tonlib_core::TonHash::from(address.hash))
        .to_base64_url_flags(true, test_network)
}

fn from_ton(address: &TonAddress) -> Address {
    let mut hash = [0; 32];
    hash.copy_from_slice(address.hash_part.as_slice());
    // Workchains of real accounts are 0 and -1; anything else can only come from a text and stays invalid.
    Address { workchain: i8::try_from(address.workchain).unwrap_or(i8::MIN), hash }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // Public test words, not a wallet of anyone; the address was computed with the JavaScript library.
    const WORDS: &str = "dose ice enrich trigger test dove century still betray gas diet dune use other base gym \
                         mad law immense village world example praise game";

    #[test]
    fn known_words_give_the_known_mainnet_address() {
        let wallet = Wallet::from_words(WORDS, -239).unwrap();
        assert_eq!(friendly(wallet.address(), false), "UQDbuUzGbucJ6xkeLjr5O5s7A2u8xp-3DlxCbO8Lm3kwoXLR");
        assert_ne!(Wallet::from_words(WORDS, -3).unwrap().address(), wallet.address());
    }

    #[test]
    fn both_text_forms_of_an_address_are_read_and_garbage_is_not() {
        let address = Wallet::from_words(WORDS, -239).unwrap().address();
        assert_eq!(parse_address(&address.to_string()), Some(address));
        assert_eq!(parse_address(&friendly(address, true)), Some(address));
        for text in ["", "0:", "UQDbuUzGbucJ6xkeLjr5O5s7A2u8xp-3DlxCbO8Lm3kwoXLS", "é"] {
            assert_eq!(parse_address(text), None, "{text}");
        }
    }

    #[test]
    fn a_wallet_file_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wallet");
        let first = Wallet::load_or_create(&path, -239).unwrap();
        assert_eq!(Wallet::load_or_create(&path, -239).unwrap().address(), first.address());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let error = Wallet::load_or_create(&path, -239).unwrap_err();
            assert!(matches!(error, WalletError::Exposed { .. }), "{error}");
        }
    }

    #[test]
    fn an_error_about_words_repeats_none_of_them() {
        let text = Wallet::from_words(&WORDS.replace("dune", "hunter2"), -239).unwrap_err();
        assert!(!text.to_string().contains("hunter2"), "{text}");
    }

    #[test]
    fn a_transfer_has_one_to_255_messages() {
        let wallet = Wallet::from_words(WORDS, -239).unwrap();
        assert!(matches!(wallet.transfer(0, 1, &[]), Err(WalletError::Messages(0))));
        let many = vec![Cell::default(); MESSAGES_MAX + 1];
        assert!(matches!(wallet.transfer(0, 1, &many), Err(WalletError::Messages(256))));
    }
}
