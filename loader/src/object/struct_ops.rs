//! Tables of functions (`SEC(".struct_ops")`), changed by the embedder before they are loaded.

use super::Object;
use crate::btf::{Btf, Kind, Member, TypeGraph};
use crate::bytes::to_usize;
use crate::error::Error;
use crate::spec::{FuncId, MapId, MapSpec};
use crate::uapi::ProgType;

/// A member of a table of functions.
struct Place {
    map: MapId,
    /// Its number in the object's structure.
    number: u32,
    start: usize,
    len: usize,
    /// Whether programs stand there.
    function: bool,
}

impl Object {
    /// What a plain member of a table of functions holds when the object is loaded, in this machine's byte order.
    ///
    /// # Errors
    /// As [`set_struct_ops`](Self::set_struct_ops).
    pub fn struct_ops(&self, map: &str, member: &str) -> Result<Vec<u8>, Error> {
        let Place { map, start, len, .. } = self.plain_member(map, member)?;
        let data = self.spec.map(map).and_then(|map| map.data.as_deref()).unwrap_or_default();
        Ok(data.iter().skip(start).take(len).copied().collect())
    }

    /// Lets a plain member of a table of functions hold these bytes when the object is loaded. `map` is the name of the
    /// variable. The structure is the object's: one that the kernel does not have must stay zero.
    ///
    /// Source: libbpf `bpf_map__initial_value` of a struct_ops map.
    ///
    /// # Errors
    /// [`Error::NotInObject`] if there is no such table or member, [`Error::Member`] if programs stand there,
    /// [`Error::DataSize`] if they are not as many bytes as the member has.
    pub fn set_struct_ops(&mut self, map: &str, member: &str, bytes: &[u8]) -> Result<(), Error> {
        let Place { map, start, len, .. } = self.plain_member(map, member)?;
        super::check_size("member", member, len, bytes)?;
        let data = self.spec.maps.get_mut(map.index()).and_then(|map| map.data.as_mut());
        let place = data.into_iter().flatten().skip(start);
        place.zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    /// Puts a program into a member of a table of functions, or takes out the one that the object puts there. A program
    /// that is put in is loaded; one that is in no table any more is not.
    ///
    /// # Errors
    /// [`Error::NotInObject`] if there is no such table, member or program, [`Error::Member`] if no programs stand there
    /// or this one is of another type.
    pub fn set_struct_ops_program(
        &mut self,
        map: &str,
        member: &str,
        program: Option<&str>,
    ) -> Result<(), Error> {
        let place = self.member(map, member)?;
        let wrong = |why| Error::Member { map: map.to_string(), member: member.to_string(), why };
        if !place.function {
            return Err(wrong("no program can stand there: it is plain data"));
        }
        let program = program.map(|name| self.program_id(name)).transpose()?;
        let spec = program.and_then(|id| self.spec.program(id));
        if spec.is_some_and(|program| program.kind.ty != Some(ProgType::STRUCT_OPS)) {
            return Err(wrong("only programs of SEC(\"struct_ops\") can stand there"));
        }
        let func = spec.map(|program| program.func);
        let table = self.spec.maps.get_mut(place.map.index()).and_then(|map| map.struct_ops.as_mut());
        let Some(table) = table else {
            return Ok(());
        };
        let before = table.programs.iter().find(|(number, _)| *number == place.number).map(|(_, func)| *func);
        table.programs.retain(|(number, _)| *number != place.number);
        table.programs.extend(func.map(|func| (place.number, func)));
        for func in before.into_iter().chain(func) {
            self.load_if_in_a_table(func);
        }
        Ok(())
    }

    /// The kernel takes no program of such a section that is in no table.
    fn load_if_in_a_table(&mut self, func: FuncId) {
        let tables = self.spec.maps.iter().filter_map(|map| map.struct_ops.as_ref());
        let is_there = tables.flat_map(|table| &table.programs).any(|(_, other)| *other == func);
        let programs = self.spec.programs.iter_mut().filter(|program| program.func == func);
        programs.for_each(|program| program.autoload = is_there);
    }

    fn plain_member(&self, map: &str, member: &str) -> Result<Place, Error> {
        let place = self.member(map, member)?;
        if place.function {
            let (map, member) = (map.to_string(), member.to_string());
            let why = "programs stand there: set_struct_ops_program puts them in";
            return Err(Error::Member { map, member, why });
        }
        Ok(place)
    }

    fn member(&self, map: &str, member: &str) -> Result<Place, Error> {
        let found = self.spec.maps.iter().position(|spec| *spec.name == *map && spec.struct_ops.is_some());
        let (Some(at), Some(btf)) = (found, &self.spec.btf) else {
            let tables = self.spec.maps.iter().filter(|map| map.struct_ops.is_some());
            return Err(super::missing("struct_ops map", map, tables.map(|map| map.name.to_string())));
        };
        let members = self.spec.maps.get(at).map(|map| members(btf, map)).unwrap_or_default();
        let found = (0u32..).zip(members).find(|(_, of)| btf.bytes_at(of.name) == member.as_bytes());
        let place = found.and_then(|(number, of)| place(btf, MapId::new(at), number, of));
        let names = || members.iter().map(|member| btf.string(member.name).into_owned());
        place.ok_or_else(|| super::missing("member of its table", member, names()))
    }
}

fn members<'b>(btf: &'b Btf, map: &MapSpec) -> &'b [Member] {
    match btf.kind(map.value_type) {
        Some(Kind::Composite { members, .. }) => members,
        _ => &[],
    }
}

/// Where a member stands; none for bitfields, which the loader does not set.
fn place(btf: &Btf, map: MapId, number: u32, member: &Member) -> Option<Place> {
    let len = btf.size_of(member.ty).filter(|_| member.bit_size == 0)?;
    let pointee = btf.resolved(member.ty).and_then(Kind::pointee);
    let function = matches!(pointee.and_then(|to| btf.resolved(to)), Some(Kind::FuncProto { .. }));
    Some(Place { map, number, start: to_usize(member.bit_offset / 8), len: to_usize(len), function })
}
