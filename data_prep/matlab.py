"""Variables of MATLAB files, of version 5 (scipy) and 7.3 (HDF5): texts and numbers, flat, in their order."""

from pathlib import Path
from typing import Any

from data_prep.tables import check_size


def read_mat(path: Path, variable: str, *fields: str) -> list[list[Any]]:
    """The values of a variable, or of several fields of a struct, each flat: rows and columns differ between files.

    Raises ValueError naming the file, the variable and the fix if it is damaged or too large, lacks them, or their
    lengths differ.
    """
    import h5py
    import numpy as np
    from scipy.io import loadmat

    check_size(path, path.stat().st_size)
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                data = file[variable]
                columns = [_hdf5(file, data[field]) for field in fields] if fields else [_hdf5(file, data)]
        else:
            data = loadmat(path, variable_names=[variable], simplify_cells=True)[variable]
            columns = [np.ravel(data[field]).tolist() for field in fields] if fields else [np.ravel(data).tolist()]
        if len({len(column) for column in columns}) > 1:
            raise ValueError("the fields have different lengths")
        return columns
    except Exception as error:  # a damaged file makes h5py and scipy raise nearly anything
        what = f"{' and '.join(fields)} of {variable}" if fields else variable
        raise ValueError(f"{path}: cannot read {what} ({error}); download it again") from error


def _hdf5(file: Any, data: Any) -> list[Any]:
    """The numbers of a dataset, or the texts that its references point to. MATLAB stores arrays by columns."""
    import h5py
    import numpy as np

    values = data[()]
    if values.dtype != h5py.ref_dtype:
        return np.ravel(values).tolist()

    def text(cell: h5py.Reference) -> str:  # UTF-16; low-level calls, since file[cell][()] takes three times as long
        codes = h5py.h5r.dereference(cell, file.id)
        letters = np.empty(codes.shape, "<u2")
        codes.read(h5py.h5s.ALL, h5py.h5s.ALL, letters)
        return letters.tobytes().decode("utf-16-le")

    return [text(cell) for cell in values.ravel()]
