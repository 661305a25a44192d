//! Every bound of the swarm, with its unit and its reason.

use std::time::Duration;

pub use bombyx_protocol::limits::GOSSIP_BYTES_MAX;

/// Bytes of one gossipsub frame: a message, or lists of the ids that a peer has and wants.
pub const GOSSIP_FRAME_BYTES_MAX: usize = 17 * 1024;
/// Bytes of a topic's short name.
pub const TOPIC_BYTES_MAX: usize = 128;
/// Gossiped messages a second that are looked at, of all strangers together, and as many again of friends. At 0.3 ms each
/// they take a twelfth of a core; what is above is not forwarded.
pub const GOSSIP_PER_S: u32 = 256;
/// Of them, of one forwarder: more than an honest node, which looks at no more than the above, can have to forward.
pub const GOSSIP_PER_PEER_PER_S: u32 = 3 * GOSSIP_PER_S;
/// How many seconds' worth of gossip may come at once.
pub const GOSSIP_BURST: Duration = Duration::from_secs(2);
/// Between two gossiped statements of one author, on average: eight new auctions a second; what is leased needs none.
pub const AUTHOR_PACE: Duration = Duration::from_millis(125);
/// How far ahead of that average an author may run: sixty-four orders at once.
pub const AUTHOR_BURST: Duration = Duration::from_secs(8);
/// Authors whose rate is remembered: as many as are let speak within [`AUTHOR_BURST`].
pub const AUTHORS_MAX: usize = 4096;
/// Questions to the hash table that are answered a second, of everybody together: some 50 µs each.
pub const TABLE_PER_S: u32 = 512;
/// Of them, of one peer: a node that joins asks each peer a handful of times.
pub const TABLE_PER_PEER_PER_S: u32 = 64;
/// Questions that wait until their prefix has a share again. Kademlia never ends a question that nobody answers, and answers
/// no more once it has 32 of them on a connection.
pub const TABLE_WAITING_MAX: usize = 2_048;
/// Of them, of one peer: as many as Kademlia lets it have open.
pub const TABLE_WAITING_PER_PEER: usize = 32;
/// How often those that wait are tried again.
pub const TABLE_RETRY: Duration = Duration::from_millis(100);
/// How many seconds' worth of questions may come at once.
pub const TABLE_BURST: Duration = Duration::from_secs(4);
/// From what age of a connection on a further one from the same peer means that the peer has lost the first: those that cross
/// each other, or come over two transports, come together.
pub const RETURN_AFTER: Duration = Duration::from_secs(2);
/// The same of a connection that this node opened: dials that cross each other may take as long as a handshake on a loaded machine.
pub const RETURN_AFTER_DIAL: Duration = Duration::from_secs(5);
/// Dials of single addresses under way at a time, but for those that the user wrote.
pub const DIALS_MAX: usize = 96;
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
/// Peers with a sending task at a time: one for every connection there can be, and those that are being reached.
pub const PUMPS_MAX: usize = 512;
/// Of them, those to peers that were not connected when their task began: it ends when its peer cannot be reached.
pub const PUMPS_REACHING_MAX: usize = 128;
/// Bytes of direct messages that wait for all peers together.
pub const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Of them, bytes for one peer: more than a job's answer ever has under way, so that peers that read slowly do not take
/// the room of the others.
pub const PEER_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// From queueing a direct message to giving it up.
pub const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// How long an unused outbound stream to a friend is kept. It holds the connection open.
pub const PUMP_IDLE: Duration = Duration::from_secs(120);
/// How long an unused outbound stream to anybody else is kept.
pub const PUMP_IDLE_STRANGER: Duration = Duration::from_secs(20);
/// How long an inbound stream of a friend may stay silent; longer than `PUMP_IDLE`, so that the sender closes first.
pub const INBOUND_IDLE: Duration = Duration::from_secs(300);
/// How long an inbound stream of anybody else may stay silent; longer than `PUMP_IDLE_STRANGER` for the same reason.
pub const STRANGER_SILENCE: Duration = Duration::from_secs(30);
/// From a frame's length to its last byte.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(30);
/// Streams one peer may hold open towards us: one in use and a few that it has not yet noticed are broken.
pub const INBOUND_STREAMS_PER_PEER: usize = 4;
/// Inbound streams of everybody together: two for every connection there can be. Each is a task and, while a frame
/// arrives, its bytes.
pub const INBOUND_STREAMS_MAX: usize = 768;
/// Inbound streams kept besides for friends.
pub const INBOUND_STREAMS_KEPT: usize = 256;
/// Direct messages a peer may send per second, on average; a faster peer is read more slowly.
pub const INBOUND_MESSAGES_PER_S: u32 = 2_000;
/// Bytes a peer may send per second in direct messages, on average.
pub const INBOUND_BYTES_PER_S: u32 = 16 * 1024 * 1024;
/// Direct messages of all strangers together that are read in a second, shared by prefix; one counts as two from 8 KiB on, as
/// three from 16, and so on. At 30 µs each they take an eighth of a core, and leave the queue of events to calls and
/// customers. An honest stranger sends a hundred a second while it answers, and soon is none.
pub const STRANGERS_MESSAGES_PER_S: u32 = 4_096;
/// The same of all friends, besides.
pub const FRIENDS_MESSAGES_PER_S: u32 = 4 * STRANGERS_MESSAGES_PER_S;
/// Bytes for which a message counts once more.
pub const MESSAGE_UNIT_BYTES: usize = 8 * 1024;
/// How long a message whose share is used up waits before it is tried again.
pub const SHARE_WAIT: Duration = Duration::from_millis(50);
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
/// Peers that answered which are kept for the next start.
pub const KNOWN_ANSWERED_MAX: usize = 224;
/// Of these, peers of one address prefix: a network at home fits in.
pub const KNOWN_ANSWERED_PER_PREFIX_MAX: usize = 16;
/// Peers that came by themselves, and whose address is their own claim, which are kept besides.
pub const KNOWN_CAME_MAX: usize = 32;
/// Of these, peers of one address prefix.
pub const KNOWN_CAME_PER_PREFIX_MAX: usize = 4;
/// How long a peer is kept that does not answer any more.
pub const KNOWN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Kept peers that are dialled at a time, beside the join addresses.
pub const KNOWN_DIALS_MAX: usize = 8;
/// How long such a dial keeps its place: long enough for a peer that is there. What answers later counts all the same.
pub const KNOWN_DIAL_TIME: Duration = Duration::from_secs(2);
/// Prefixes whose peers led into the network before no further one that is kept is dialled: one owner of many keys, or two, must
/// not be a node's only way back.
pub const WAYS_WANTED: usize = 3;
/// How often the list notes who is still connected.
pub const KNOWN_REFRESH: Duration = Duration::from_secs(600);
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
/// Models whose providers this node wants to be connected to, at a time.
pub const MEETINGS_MAX: usize = 64;
/// How long it wants that after the last call.
pub const MEETING_LIFE: Duration = Duration::from_secs(600);
/// Providers of one model that it dials, or holds connections to, for a call: a price needs a dozen bids.
pub const PROVIDERS_MET: usize = 24;
/// Providers of one model among which it draws those.
pub const PROVIDERS_KNOWN: usize = 256;
/// How long a call waits for the first provider to be connected. Lookup and dial take five round trips.
pub const MEET_PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits for others once there is a first one.
pub const MEET_OTHERS: Duration = Duration::from_millis(200);
/// How long a provider that was dialled is not dialled again for the same model.
pub const REDIAL_AFTER: Duration = Duration::from_secs(30);
/// A provider that said something within this time is alive.
pub const HEARD_LATELY: Duration = Duration::from_secs(60);
/// How long a survey of the market goes on after somebody last asked what is on offer.
pub const SURVEY_LIFE: Duration = Duration::from_secs(10);
/// Between two lookups of those that sell while it goes on: one that has just come is listed within ten seconds.
pub const SURVEY_EVERY: Duration = Duration::from_secs(3);
/// How long whoever asked waits for those that are being looked up and dialled.
pub const SURVEY_PATIENCE: Duration = Duration::from_millis(1_500);
/// Nodes that sell among which it draws those to visit.
pub const SURVEYED_MAX: usize = 1_024;
/// Visits at a time, shared by prefix: the dials and connections of a survey that wait for an answer.
pub const VISITS_MAX: usize = 24;
/// How long a visit keeps its place: an answer takes a round trip and some signatures.
pub const VISIT_TIME: Duration = Duration::from_secs(2);
/// How long one that was visited is not visited again: its asks hold for three times as long.
pub const VISIT_AGAIN: Duration = Duration::from_secs(20);
/// One that cannot be reached is left alone for twice as long each time, up to so many times: five minutes.
pub const VISIT_DOUBLINGS_MAX: u32 = 4;
/// Records of those that sell anything, under their one key of the network: an honest network has more of them than of
/// providers of one model.
pub const MARKET_RECORDS_MAX: usize = 1_024;
/// Bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;
/// From asking for a manifest to its last byte, at either end.
pub const MANIFEST_DEADLINE: Duration = Duration::from_secs(10);
/// Requests for manifests a second, of everybody together.
pub const MANIFESTS_PER_S: u32 = 128;
/// Of them, of one peer: a list of sixteen models in four seconds.
pub const MANIFESTS_PER_PEER_PER_S: u32 = 4;
/// Bytes of manifests handed out a second, of everybody together, in units of [`MESSAGE_UNIT_BYTES`]: 2 MiB.
pub const MANIFEST_UNITS_PER_S: u32 = 256;
/// How many seconds' worth of them may be asked for at once.
pub const MANIFEST_BURST: Duration = Duration::from_secs(4);
/// Manifests handed out at a time.
pub const MANIFESTS_AT_ONCE: usize = 64;
/// Further ones, for friends.
pub const MANIFESTS_KEPT_AT_ONCE: usize = 16;
/// Manifests handed out to one peer at a time.
pub const MANIFESTS_PER_PEER: usize = 4;
/// Manifests that this node fetches at a time: 1 MiB of memory each.
pub const MANIFESTS_FETCHED_MAX: usize = 16;
/// Keys this node provides, topics included.
pub const PROVIDED_MAX: usize = 256;
/// Provider records announced per tick: each is a query of its own.
pub const ANNOUNCED_PER_TICK: usize = 4;
/// Time between two announcements of the same record. (`NE-6`)
pub const ANNOUNCE_EVERY: Duration = Duration::from_secs(20 * 60);
/// Life of a provider record. (`NE-6`)
pub const RECORD_TTL: Duration = Duration::from_secs(60 * 60);
/// Provider records kept for others.
pub const RECORDS_MAX: usize = 8192;
/// Addresses kept with a provider record: sixty-four records still fit one answer.
pub const RECORD_ADDRESSES: usize = 4;
/// Provider records kept from one peer.
pub const RECORDS_PER_PEER: usize = 256;
/// Providers kept for one key.
pub const PROVIDERS_PER_KEY: usize = 64;
/// A search for providers ends early with this many: as many as four nodes keep, so that no single one of those that are
/// asked decides who is found.
pub const PROVIDERS_ENOUGH: usize = 256;
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
pub const CONNECTIONS_PER_PEER: usize = 4;
/// Peers that may be connected, of those whom this node chose: friends, nodes that it joined through or dialled itself.
/// Beyond that many they compete with strangers.
pub const CONNECTIONS_KEPT: usize = 128;
/// Strangers that may be on their way out at a time, each for a newcomer. Bounds what is connected beyond the limits.
pub const LEAVING_MAX: usize = 32;
/// Inbound connections that are still shaking hands. A handshake over 300 ms of delay takes a second, so that a prefix that
/// has half of the places can still be served at sixty newcomers a second.
pub const PENDING_IN_MAX: usize = 128;
/// From the first packet of a TCP connection, or from dialling, until its handshakes are done; QUIC waits as long.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Outbound connections of this node's own choice that are still shaking hands.
pub const PENDING_OUT_MAX: usize = 32;
/// Outbound connections that a lookup in the hash table begins and that are still shaking hands. Counted apart, so that
/// dead addresses in it do not hold up the dials that matter.
pub const PENDING_LOOKUPS_MAX: usize = 32;
/// A connection that was silent for less than this is not closed to make room.
pub const CONNECTION_GRACE: Duration = Duration::from_secs(20);
/// When all places are taken, a stranger that was silent for this long makes room for a neighbour: long enough to find a
/// provider and hear its bid.
pub const TURN_MIN: Duration = Duration::from_secs(5);
/// When all places are taken by one prefix and all of it talks, a turn is this long.
pub const TURN_MAX: Duration = Duration::from_secs(60);
/// Between two words in the log about the same budget that is used up.
pub const EXCESS_TOLD_EVERY: Duration = Duration::from_secs(60);
/// How long a peer of another network stays connected, so that it learns of the mismatch as well.
pub const FOREIGNER_GRACE: Duration = Duration::from_secs(1);
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
