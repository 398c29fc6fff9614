//! What one value may cost at each depth of a document, in steps and in nested calls.

use crate::SchemaError;
use crate::graph::{Graph, Id, Node};

/// Deeper values are not counted: a document that has some is never affordable.
pub const DEPTH_MAX: usize = 128;

/// What the whole schema may cost.
pub(crate) struct Costs {
    /// For each depth, from 0, the steps for one value of a document there.
    pub(crate) steps_at: Vec<u64>,
    /// For each depth, from 0, how deep the calls of a validator nest for a document of that depth.
    pub(crate) calls_at: Vec<u64>,
}

/// The costs of a schema.
pub(crate) fn costs(graph: &Graph) -> Result<Costs, SchemaError> {
    let order = in_order(graph)?;
    Ok(Costs { steps_at: steps_by_depth(graph, &order), calls_at: calls_by_depth(graph, &order) })
}

fn calls_by_depth(graph: &Graph, order: &[Id]) -> Vec<u64> {
    let mut above: Vec<u64> = vec![0; graph.nodes.len()];
    let mut calls = Vec::with_capacity(DEPTH_MAX + 1);
    for _ in 0..=DEPTH_MAX {
        let mut now = vec![0_u64; graph.nodes.len()];
        for id in order {
            let node = &graph.nodes[*id];
            let here = node.here.iter().map(|(part, _)| now[*part]);
            let below = node.children().map(|part| above[part]);
            now[*id] = 1 + here.chain(below).max().unwrap_or_default();
        }
        calls.push(now.first().copied().unwrap_or_default());
        above = now;
    }
    calls
}

/// The steps by depth.
///
/// Of the members of an object each is looked at by one of `properties`, or by the others; so the costliest
/// counts, and a tree whose nodes have two children does not double with each level. Where two subschemas of
/// the same value both lead into the same child, their costs add up, and may grow exponentially with depth.
fn steps_by_depth(graph: &Graph, order: &[Id]) -> Vec<u64> {
    let mut above: Vec<u64> = vec![0; graph.nodes.len()];
    // Costs of names are those of texts: the value itself, and nothing below.
    let mut at_value: Vec<u64> = Vec::new();
    let mut steps = Vec::with_capacity(DEPTH_MAX + 1);
    for depth in 0..=DEPTH_MAX {
        let mut now = vec![0_u64; graph.nodes.len()];
        for id in order {
            let node = &graph.nodes[*id];
            let own = match depth {
                0 => node.own,
                _ => below(node, &above, (depth == 1).then_some(&at_value)),
            };
            let here = node.here.iter().map(|(part, times)| now[*part].saturating_mul(*times));
            now[*id] = here.fold(own, u64::saturating_add);
        }
        steps.push(now.first().copied().unwrap_or_default());
        if depth == 0 {
            at_value.clone_from(&now);
        }
        above = now;
    }
    steps
}

/// What a node's subschemas for a child of the value cost, by what each costs there.
fn below(node: &Node, cost: &[u64], at_names: Option<&Vec<u64>>) -> u64 {
    let sum = |ids: &[Id]| ids.iter().map(|id| cost[*id]).fold(0, u64::saturating_add);
    let most = |ids: &[Id]| ids.iter().map(|id| cost[*id]).max().unwrap_or_default();
    let of_names = at_names
        .map_or(0, |names| node.names_own.saturating_add(node.names.map_or(0, |id| names[id])));
    let members = sum(&node.patterns)
        .saturating_add(most(&node.named).max(sum(&node.other_members)))
        .saturating_add(of_names);
    let elements = most(&node.prefix)
        .max(sum(&node.elements))
        .saturating_add(node.contains.map_or(0, |id| cost[id]));
    members.max(elements)
}

/// The nodes, each after those that it leads to for the same value.
fn in_order(graph: &Graph) -> Result<Vec<Id>, SchemaError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; graph.nodes.len()];
    let mut order = Vec::with_capacity(graph.nodes.len());
    for start in 0..graph.nodes.len() {
        // A node, and how many of its parts have been visited.
        let mut stack = vec![(start, 0)];
        while let Some((id, visited)) = stack.pop() {
            match (marks[id], visited) {
                (Mark::Done, _) => continue,
                (Mark::Open, 0) => return Err(SchemaError::Cycle(graph.pointer(id))),
                _ => marks[id] = Mark::Open,
            }
            match graph.nodes[id].here.get(visited) {
                Some((part, _)) => {
                    stack.push((id, visited + 1));
                    stack.push((*part, 0));
                }
                None => {
                    marks[id] = Mark::Done;
                    order.push(id);
                }
            }
        }
    }
    Ok(order)
}
