//! Every rule of the network.
