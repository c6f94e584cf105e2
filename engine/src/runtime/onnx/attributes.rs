//! The attributes of one node, each read once under its name and type.

use crate::runtime::error::ModelError;
use crate::runtime::graph::Node;
use crate::runtime::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_FLOATS, ATTRIBUTE_INT, ATTRIBUTE_INTS, ATTRIBUTE_STRING, ATTRIBUTE_STRINGS,
    ATTRIBUTE_TENSOR, AttributeProto, TensorProto,
};

/// Largest size in a window's attributes.
const MAX_WINDOW: i64 = 4096;

/// The attributes of one node.
pub struct Attributes<'a> {
    /// The node, for messages.
    pub node: &'a Node,
    /// What the file says.
    pub attributes: &'a [AttributeProto],
}

impl<'a> Attributes<'a> {
    /// Refuses attributes that are not in `known` or come twice, and subgraphs.
    ///
    /// # Errors
    /// [`ModelError::Node`]
    pub fn check(&self, known: &[&str]) -> Result<(), ModelError> {
        for (index, attribute) in self.attributes.iter().enumerate() {
            if self.attributes[..index].iter().any(|earlier| earlier.name == attribute.name) {
                return Err(self.node.error(format!("attribute {:?} is given twice", attribute.name)));
            }
            if !attribute.g.is_empty() || !attribute.graphs.is_empty() {
                return Err(self.node.error("subgraphs are not supported"));
            }
            if !known.contains(&attribute.name.as_str()) {
                return Err(self.node.error(format!("attribute {:?} is not supported", attribute.name)));
            }
        }
        Ok(())
    }

    /// The attribute `name`, which must hold a value of the type `wanted`: the fields of the others read as 0.
    fn find(&self, name: &str, wanted: i32) -> Result<Option<&'a AttributeProto>, ModelError> {
        let found = self.attributes.iter().find(|attribute| attribute.name == name);
        match found {
            Some(AttributeProto { r#type, .. }) if *r#type != wanted => {
                Err(self.node.error(format!("attribute {name:?} has the type {}, expected {wanted}", r#type)))
            }
            _ => Ok(found),
        }
    }

    /// A number, or `absent`.
    ///
    /// # Errors
    /// [`ModelError::Node`] if it is of another type; so do the others here.
    pub fn int(&self, name: &str, absent: i64) -> Result<i64, ModelError> {
        Ok(self.find(name, ATTRIBUTE_INT)?.map_or(absent, |attribute| attribute.i))
    }

    /// A float, or `absent`.
    pub fn float(&self, name: &str, absent: f32) -> Result<f32, ModelError> {
        let value = self.find(name, ATTRIBUTE_FLOAT)?.map_or(absent, |attribute| attribute.f);
        if value.is_finite() { Ok(value) } else { Err(self.node.error(format!("{name} is {value}"))) }
    }

    /// A text, or `absent`.
    pub fn text(&self, name: &str, absent: &'a str) -> Result<&'a str, ModelError> {
        match self.find(name, ATTRIBUTE_STRING)? {
            None => Ok(absent),
            Some(attribute) => std::str::from_utf8(&attribute.s)
                .map_err(|_| self.node.error(format!("attribute {name:?} is not UTF-8"))),
        }
    }

    /// A list of numbers, if it is given.
    pub fn list(&self, name: &str) -> Result<Option<&'a [i64]>, ModelError> {
        Ok(self.find(name, ATTRIBUTE_INTS)?.map(|attribute| &attribute.ints[..]))
    }

    /// A list of floats, if it is given.
    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, ModelError> {
        Ok(self.find(name, ATTRIBUTE_FLOATS)?.map(|attribute| &attribute.floats[..]))
    }

    /// A list of texts, if it is given.
    pub fn texts(&self, name: &str) -> Result<Option<&'a [Vec<u8>]>, ModelError> {
        Ok(self.find(name, ATTRIBUTE_STRINGS)?.map(|attribute| &attribute.strings[..]))
    }

    /// A tensor, if it is given.
    pub fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>, ModelError> {
        Ok(self.find(name, ATTRIBUTE_TENSOR)?.and_then(|attribute| attribute.t.as_ref()))
    }

    /// Refuses another number than `wanted`; `absent` stands where none is given.
    pub fn require_int(&self, name: &str, absent: i64, wanted: i64) -> Result<(), ModelError> {
        let value = self.int(name, absent)?;
        if value == wanted {
            return Ok(());
        }
        Err(self.node.error(format!("{name} is {value}, supported is {wanted}")))
    }

    /// Refuses another float than `wanted`, which also stands where none is given.
    pub fn require_float(&self, name: &str, wanted: f32) -> Result<(), ModelError> {
        let value = self.float(name, wanted)?;
        if value == wanted {
            return Ok(());
        }
        Err(self.node.error(format!("{name} is {value}, supported is {wanted}")))
    }

    /// Refuses another text than `wanted`, which also stands where none is given.
    pub fn require_text(&self, name: &str, wanted: &[&str]) -> Result<(), ModelError> {
        let value = self.text(name, wanted[0])?;
        if wanted.contains(&value) {
            return Ok(());
        }
        Err(self.node.error(format!("{name} is {value:?}, supported is {}", wanted.join(" or "))))
    }

    /// `N` sizes that a window may have.
    pub fn sizes<const N: usize>(&self, name: &str, absent: [usize; N]) -> Result<[usize; N], ModelError> {
        let Some(list) = self.list(name)? else { return Ok(absent) };
        let sizes: Option<Vec<usize>> =
            list.iter().map(|&value| usize::try_from(value).ok().filter(|_| value <= MAX_WINDOW)).collect();
        sizes.and_then(|sizes| sizes.try_into().ok()).ok_or_else(|| {
            self.node.error(format!("{name} is {list:?}, expected {N} numbers from 0 to {MAX_WINDOW}"))
        })
    }
}
