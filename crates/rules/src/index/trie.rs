//! A trie of event paths with the kinds of facts to look for at each.

use std::collections::HashMap;

use super::sign::{Probe, Signer};

pub(crate) struct Trie {
    nodes: Vec<Node>,
    vacant: Vec<u32>,
    signer: Signer,
}

pub(crate) struct Node {
    /// Hash of the path, from [`Signer::path`].
    pub(crate) path: u64,
    children: HashMap<Box<str>, u32, Signer>,
    /// Bit filter over the children, possibly removed ones too; rejects most keys of an event that are not
    /// children without a lookup.
    filter: u64,
    /// Kinds of facts to look for in values here.
    plan: Vec<Wanted>,
    parent: u32,
    segment: Box<str>,
}

/// A kind of fact that is looked for at a path.
struct Wanted {
    probe: Probe,
    /// The number of signs in use.
    signs: u32,
    /// Uses of these signs in total.
    uses: u32,
}

/// The empty path, which always exists.
pub(crate) const ROOT: u32 = 0;

impl Trie {
    pub(crate) fn new(signer: Signer) -> Trie {
        let mut trie = Trie { nodes: Vec::new(), vacant: Vec::new(), signer };
        trie.create(signer.root(), ROOT, "");
        trie
    }

    pub(crate) fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    fn create(&mut self, path: u64, parent: u32, segment: &str) -> u32 {
        let children = HashMap::with_hasher(self.signer);
        let (plan, segment) = (Vec::new(), segment.into());
        let node = Node { path, children, filter: 0, plan, parent, segment };
        if let Some(vacant) = self.vacant.pop() {
            self.nodes[vacant as usize] = node;
            return vacant;
        }
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
    }

    /// Registers one more sign of `probe` at a path and returns the path's node.
    pub(crate) fn plan(&mut self, segments: &[Box<str>], probe: Probe) -> u32 {
        let mut node = ROOT;
        for segment in segments {
            node = match self.nodes[node as usize].children.get(segment) {
                Some(child) => *child,
                None => {
                    let path = self.signer.step(self.nodes[node as usize].path, segment);
                    let child = self.create(path, node, segment);
                    let parent = &mut self.nodes[node as usize];
                    parent.children.insert(segment.clone(), child);
                    parent.filter |= filter_bit(segment);
                    child
                }
            };
        }
        let plan = &mut self.nodes[node as usize].plan;
        match plan.iter_mut().find(|wanted| wanted.probe == probe) {
            Some(wanted) => wanted.signs += 1,
            None => plan.push(Wanted { probe, signs: 1, uses: 0 }),
        }
        node
    }

    /// The node of a path, if facts are looked for at or below it.
    pub(crate) fn find(&self, segments: &[Box<str>]) -> Option<u32> {
        segments.iter().try_fold(ROOT, |node, segment| self.node(node).child(segment))
    }

    /// Adds or removes one use of a planned sign.
    pub(crate) fn note(&mut self, node: u32, probe: Probe, more: bool) {
        let plan = &mut self.nodes[node as usize].plan;
        if let Some(wanted) = plan.iter_mut().find(|wanted| wanted.probe == probe) {
            wanted.uses = if more { wanted.uses + 1 } else { wanted.uses.saturating_sub(1) };
        }
    }

    /// Undoes one [`Trie::plan`] and removes paths that are no longer used.
    pub(crate) fn release(&mut self, node: u32, probe: Probe) {
        let plan = &mut self.nodes[node as usize].plan;
        if let Some(at) = plan.iter().position(|wanted| wanted.probe == probe) {
            plan[at].signs -= 1;
            if plan[at].signs == 0 {
                plan.swap_remove(at);
            }
        }
        let mut node = node;
        while node != ROOT && self.node(node).is_unused() {
            let unused = &mut self.nodes[node as usize];
            let (parent, segment) = (unused.parent, std::mem::take(&mut unused.segment));
            self.nodes[parent as usize].children.remove(&segment);
            self.vacant.push(node);
            node = parent;
        }
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.node(ROOT).is_unused() && self.vacant.len() + 1 == self.nodes.len()
    }
}

/// Filter bit of a segment, from its length, first byte and last byte.
fn filter_bit(segment: &str) -> u64 {
    let [first, .., last] = segment.as_bytes() else { return 1 << (segment.len() & 63) };
    let sum = usize::from(*first) + 7 * usize::from(*last) + 13 * segment.len();
    1 << (sum & 63)
}

impl Node {
    fn is_unused(&self) -> bool {
        self.plan.is_empty() && self.children.is_empty()
    }

    pub(crate) fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    pub(crate) fn child(&self, segment: &str) -> Option<u32> {
        if self.filter & filter_bit(segment) == 0 {
            return None;
        }
        self.children.get(segment).copied()
    }

    pub(crate) fn probes(&self) -> impl Iterator<Item = Probe> {
        self.plan.iter().map(|wanted| wanted.probe)
    }

    /// Steps for collecting the signs of a scalar of so many bytes: one for each sign that is looked up, and one
    /// for every 32 bytes that are hashed.
    pub(crate) fn signs_shown_max(&self, bytes: usize) -> u64 {
        let of = |wanted: &Wanted| match wanted.probe {
            Probe::Gram(_) => 1 + bytes as u64,
            Probe::Text | Probe::Folded | Probe::FoldedPrefix(_) | Probe::FoldedSuffix(_) => {
                1 + bytes as u64 / 32
            }
            _ => 1,
        };
        self.plan.iter().map(of).sum()
    }

    /// How often signs of this kind are used here.
    pub(crate) fn uses(&self, probe: Probe) -> u32 {
        self.plan.iter().find(|wanted| wanted.probe == probe).map_or(0, |wanted| wanted.uses)
    }
}
