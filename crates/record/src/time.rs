//! Points in time as text. The clock is read by the caller; all is in UTC.

use jiff::Timestamp;

/// RFC 3339 to the second, as in `2026-04-07T09:30:00Z`; the form of the manifest.
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The form that lm-eval puts into file names, as in `2026-04-07T09-30-00.123456`: no colons, microseconds, no zone.
pub fn file_stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H-%M-%S.%6f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let time = Timestamp::new(1_775_554_200, 4_567_891).unwrap();
        assert_eq!(rfc3339(time), "2026-04-07T09:30:00Z");
        assert_eq!(file_stamp(time), "2026-04-07T09-30-00.004567");
        assert_eq!(rfc3339(time).parse::<Timestamp>().unwrap().as_second(), 1_775_554_200);
    }
}
