//! The three roles of a node, and a value for each.

/// Which machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Buys.
    Client,
    /// Sells.
    Provider,
    /// Watches channels.
    Watcher,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Client, Self::Provider, Self::Watcher];
}

/// One value for each role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerRole<T>([T; 3]);

impl<T> PerRole<T> {
    /// Returns the role's value.
    #[must_use]
    pub fn get(&self, role: Role) -> &T {
        match role {
            Role::Client => &self.0[0],
            Role::Provider => &self.0[1],
            Role::Watcher => &self.0[2],
        }
    }

    /// Returns the role's value, to change it.
    pub fn get_mut(&mut self, role: Role) -> &mut T {
        match role {
            Role::Client => &mut self.0[0],
            Role::Provider => &mut self.0[1],
            Role::Watcher => &mut self.0[2],
        }
    }
}
