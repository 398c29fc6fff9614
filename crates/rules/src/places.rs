//! Records in which array elements values lie.

use antar_json::{OutOfSteps, Steps};

use crate::path::Link;

/// Places of values inside arrays, in document order.
#[derive(Default)]
pub(crate) struct Places {
    links: Vec<Link>,
    /// For each place, the end of its chain in `links` and the address of its value.
    ends: Vec<(usize, usize)>,
}

impl Places {
    /// Adds a place, unless it has the same innermost element as the last one and so adds nothing.
    pub(crate) fn add(&mut self, address: usize, chain: &[Link]) {
        let last = self.ends.len().checked_sub(1).map(|at| self.chain(at));
        if last != Some(chain) {
            self.links.extend_from_slice(chain);
            self.ends.push((self.links.len(), address));
        }
    }

    /// The array elements of all places.
    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The array elements that contain a place, outermost first.
    pub(crate) fn chain(&self, at: usize) -> &[Link] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before].0);
        &self.links[start..self.ends[at].0]
    }

    /// The next place from `at` that is compatible with `chosen`. Skips incompatible elements and arrays as a
    /// whole, by binary search.
    pub(crate) fn next_fitting(
        &self,
        mut at: usize,
        chosen: &[Link],
        steps: &Steps,
    ) -> Result<Option<usize>, OutOfSteps> {
        while at < self.ends.len() {
            steps.take(1 + chosen.len() as u64)?;
            let conflict = self.chain(at).iter().find_map(|link| {
                let taken = chosen.iter().find(|taken| taken.array == link.array)?;
                (taken.element != link.element).then_some((taken.element, link))
            });
            let Some((wanted, link)) = conflict else { return Ok(Some(at)) };
            let resume = if wanted > link.element { wanted } else { link.array_end };
            at += 1;
            at += self.ends[at..].partition_point(|(_, address)| *address < resume);
        }
        Ok(None)
    }
}
