//! Points in time as text. The clock is read by the caller; all is in UTC.

use jiff::Timestamp;

/// RFC 3339 to the second, as in `2026-04-07T09:30:00Z`; the form of the manifest.
pub fn rfc3339(time: Timestamp) -> String {
    unimplemented!("{time}")
}

/// The form that lm-eval puts into file names, as in `2026-04-07T09-30-00.123456`: no colons, microseconds, no zone.
pub fn file_stamp(time: Timestamp) -> String {
    unimplemented!("{time}")
}
