//! The next token from the logits: the greatest, so that the same prompt always gets the same answer.

/// Numbers looked at side by side, so that the search is vector code.
const LANES: usize = 16;

/// The token with the greatest logit, the first of equals. None if no logit is a number, which only a broken model
/// gives.
pub(crate) fn greedy(logits: &[f32]) -> Option<u32> {
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (largest, &logit) in largest.iter_mut().zip(chunk) {
            *largest = if logit > *largest { logit } else { *largest };
        }
    }
    let largest = largest
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let place = logits.iter().position(|&logit| logit == largest)?;
    largest.is_finite().then_some(place as u32)
}

#[cfg(test)]
mod tests {
    use super::greedy;

    #[test]
    fn the_first_of_the_greatest() {
        assert_eq!(greedy(&[0.0, 3.0, -1.0, 3.0]), Some(1));
        let mut logits = vec![-5.0; 100];
        logits[97] = -4.0;
        assert_eq!(greedy(&logits), Some(97));
        logits[40] = -4.0;
        assert_eq!(greedy(&logits), Some(40));
        logits[3] = f32::NAN;
        assert_eq!(greedy(&logits), Some(40));
    }

    #[test]
    fn no_number_no_token() {
        assert_eq!(greedy(&[f32::NAN; 40]), None);
        assert_eq!(greedy(&[f32::NAN]), None);
        assert_eq!(greedy(&[]), None);
    }
}
