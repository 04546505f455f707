//! Files of Hugging Face repositories, from the cache or the network.
