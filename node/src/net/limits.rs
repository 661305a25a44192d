//! Every bound of the swarm, with its unit and its reason.

use std::time::Duration;

pub use bombyx_protocol::limits::GOSSIP_BYTES_MAX;

/// Bytes of one gossipsub frame: a message, or lists of the ids that a peer has and wants.
pub const GOSSIP_FRAME_BYTES_MAX: usize = 17 * 1024;
/// Bytes of a topic's short name.
pub const TOPIC_BYTES_MAX: usize = 128;
/// Topics this node subscribes to, and topics one peer may subscribe to.
pub const TOPICS_MAX: usize = 100;
/// Published messages that wait for the first subscriber of their topic.
pub const UNHEARD_MAX: usize = 64;
/// How long a published message waits for the first subscriber before it is reported as unpublished.
pub const UNHEARD_PATIENCE: Duration = Duration::from_secs(4);
/// How long a topic that is only published on keeps its place in the search for subscribers.
pub const PUBLISHED_TOPIC_LIFE: Duration = Duration::from_secs(600);

/// Commands that wait for the swarm. The swarm always takes commands, so this is a burst, not a backlog.
pub const COMMANDS_MAX: usize = 1024;
/// Events that wait for the reader. Direct messages stop being read from the network when this is full.
pub const EVENTS_MAX: usize = 512;
/// Notices the swarm itself holds while the event queue is full; above it the swarm is no longer polled.
pub const OUTBOX_MAX: usize = 1024;
/// Requests from stream tasks to the swarm.
pub const REQUESTS_MAX: usize = 256;

/// Direct messages that wait for one peer.
pub const PEER_QUEUE_MAX: usize = 256;
/// Peers with a sending task at a time.
pub const PUMPS_MAX: usize = 512;
/// Bytes of direct messages that wait for all peers together.
pub const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// From queueing a direct message to giving it up.
pub const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// How long an unused outbound stream is kept. It holds the connection open.
pub const PUMP_IDLE: Duration = Duration::from_secs(120);
/// How long an inbound stream may stay silent; longer than `PUMP_IDLE`, so that the sender closes first.
pub const INBOUND_IDLE: Duration = Duration::from_secs(300);
/// From a frame's length to its last byte.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(30);
/// Streams one peer may hold open towards us: one in use and a few that it has not yet noticed are broken.
pub const INBOUND_STREAMS_PER_PEER: usize = 4;
/// Direct messages a peer may send per second, on average; a faster peer is read more slowly.
pub const INBOUND_MESSAGES_PER_S: u32 = 2_000;
/// Bytes a peer may send per second in direct messages, on average.
pub const INBOUND_BYTES_PER_S: u32 = 16 * 1024 * 1024;
/// How far ahead of its average a peer may run.
pub const INBOUND_BURST: Duration = Duration::from_secs(1);
/// Peers whose inbound rate is remembered while they have no stream open.
pub const METERS_MAX: usize = 1024;

/// From wanting to talk to a peer to being connected to it.
pub const REACH_DEADLINE: Duration = Duration::from_secs(5);
/// How long known addresses are tried alone before the peer is looked up as well.
pub const REACH_PATIENCE: Duration = Duration::from_millis(800);
/// Peers that are being reached at a time.
pub const REACHING_MAX: usize = 256;
/// Addresses kept per peer.
pub const ADDRESSES_PER_PEER: usize = 8;
/// Peers whose addresses are kept.
pub const BOOK_PEERS_MAX: usize = 2048;
/// Join addresses in the configuration.
pub const JOINS_MAX: usize = 64;
/// First wait after a failed join; doubled after each.
pub const JOIN_BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Longest wait between two tries of a join address.
pub const JOIN_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How long binding the listen addresses may take.
pub const LISTEN_DEADLINE: Duration = Duration::from_secs(10);

/// Subscribers of a topic that the discovery duty tries to be connected to.
pub const TOPIC_PEERS_MIN: usize = 8;
/// First wait between two searches for a topic's subscribers; doubled after each.
pub const SEARCH_BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Longest wait between two searches for a topic's subscribers while none is connected.
pub const SEARCH_BACKOFF_ALONE: Duration = Duration::from_secs(4);
/// Longest wait between two searches for further subscribers of a topic.
pub const SEARCH_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Keys this node provides, topics included.
pub const PROVIDED_MAX: usize = 256;
/// Provider records announced per tick: each is a query of its own.
pub const ANNOUNCED_PER_TICK: usize = 4;
/// Time between two announcements of the same record.
pub const ANNOUNCE_EVERY: Duration = Duration::from_secs(20 * 60);
/// Life of a provider record.
pub const RECORD_TTL: Duration = Duration::from_secs(60 * 60);
/// Provider records kept for others.
pub const RECORDS_MAX: usize = 8192;
/// Provider records kept from one peer.
pub const RECORDS_PER_PEER: usize = 256;
/// Providers kept for one key.
pub const PROVIDERS_PER_KEY: usize = 64;
/// A search for providers ends early with this many.
pub const PROVIDERS_ENOUGH: usize = 32;
/// Searches for providers at a time.
pub const FINDS_MAX: usize = 64;
/// Deadline of one lookup in the distributed hash table.
pub const QUERY_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two refreshes of the routing table.
pub const BOOTSTRAP_EVERY: Duration = Duration::from_secs(300);

/// Connected peers above which idle connections are closed, unless configured otherwise.
pub const CONNECTIONS_HIGH: usize = 96;
/// Connections one peer may hold: both sides may dial at the same moment, and a peer that restarts still counts with
/// its old connections until they time out. Refusing one loses the gossip that was already on it.
pub const CONNECTIONS_PER_PEER: u32 = 4;
/// Inbound connections that are still shaking hands.
pub const PENDING_IN_MAX: u32 = 64;
/// Outbound connections that are still shaking hands.
pub const PENDING_OUT_MAX: u32 = 32;
/// A connection younger than this is not closed to make room.
pub const CONNECTION_GRACE: Duration = Duration::from_secs(20);
/// How long a peer of another network stays connected, so that it learns of the mismatch as well.
pub const STRANGER_GRACE: Duration = Duration::from_secs(1);
/// A connection that carries nothing is closed after this.
pub const CONNECTION_IDLE: Duration = Duration::from_secs(60);

/// Points at which a peer is blocked.
pub const PENALTY_LIMIT: u32 = 100;
/// How long a blocked peer stays blocked.
pub const BLOCK_TIME: Duration = Duration::from_secs(600);
/// Peers whose penalties are remembered.
pub const PENALTY_BOOK_MAX: usize = 1024;

/// The swarm's own clock: deadlines and duties are checked this often.
pub const TICK: Duration = Duration::from_millis(250);
/// How long a stopping node waits for its connections to say goodbye.
pub const FAREWELL: Duration = Duration::from_millis(500);
