//! AID2 messages between vehicle and CMP: postcard envelope, topics, limits
