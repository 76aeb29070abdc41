//! Conditions whose value is known without looking at a row.

use pg_raw_parse::raw::BoolExprType;
use pg_raw_parse::{ConstValue, Node};

use crate::lint::inspect::Cx;
use crate::lint::tree;

enum Step<'t> {
    Visit(Node<'t>),
    Combine(BoolExprType::Type, usize),
}

/// The value of a condition made of constants; `None` if it depends on a row.
pub(in crate::lint::rules) fn fold(cx: &mut Cx<'_, '_>, condition: Node<'_>) -> Option<bool> {
    let mut steps = vec![Step::Visit(condition)];
    let mut values: Vec<Option<bool>> = Vec::new();
    while let Some(step) = steps.pop() {
        match step {
            Step::Visit(Node::BoolExpr(expr)) => {
                steps.push(Step::Combine(expr.boolop, expr.args().len()));
                steps.extend(expr.args().iter().map(Step::Visit));
            }
            Step::Visit(node) => values.push(atom(cx, node)),
            Step::Combine(op, count) => {
                let args = values.split_off(values.len().saturating_sub(count));
                values.push(match op {
                    BoolExprType::NOT_EXPR => args.first().copied().flatten().map(|v| !v),
                    BoolExprType::OR_EXPR => join(&args, true),
                    _ => join(&args, false),
                });
            }
        }
    }
    values.pop().flatten()
}

/// OR (`strong` is true) or AND (false): one strong arm decides, else all have to be known.
fn join(args: &[Option<bool>], strong: bool) -> Option<bool> {
    if args.contains(&Some(strong)) {
        return Some(strong);
    }
    args.iter().all(Option::is_some).then_some(!strong)
}

fn atom(cx: &mut Cx<'_, '_>, node: Node<'_>) -> Option<bool> {
    if let Node::A_Expr(expr) = node {
        let (left, right) = (expr.lexpr(), expr.rexpr());
        if !tree::is_plain_operator(expr) || !cx.is_constant(left) || !cx.is_constant(right) {
            return None;
        }
        let (left, right) = (cx.constant(left)??, cx.constant(right)??);
        let order = match (&left, &right) {
            (ConstValue::String(a), ConstValue::String(b)) => a.cmp(b),
            (ConstValue::Boolean(a), ConstValue::Boolean(b)) => a.cmp(b),
            (ConstValue::String(_) | ConstValue::Boolean(_), _)
            | (_, ConstValue::String(_) | ConstValue::Boolean(_)) => return None,
            _ => left
                .numeric_value::<i64>()?
                .cmp(&right.numeric_value::<i64>()?),
        };
        return match tree::operator(expr) {
            "=" => Some(order.is_eq()),
            "<>" => Some(order.is_ne()),
            "<" => Some(order.is_lt()),
            ">" => Some(order.is_gt()),
            "<=" => Some(order.is_le()),
            ">=" => Some(order.is_ge()),
            _ => None,
        };
    }
    match cx.constant(node)?? {
        ConstValue::Boolean(value) => Some(value),
        // 't'::bool is how some deparsers write TRUE.
        ConstValue::String(text) if matches!(node, Node::TypeCast(_)) => {
            match text.to_ascii_lowercase().as_str() {
                "t" | "true" => Some(true),
                "f" | "false" => Some(false),
                _ => None,
            }
        }
        _ => None,
    }
}
