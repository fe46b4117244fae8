"""Your own data: any folder below :func:`data_dir` that holds a ``dataset.toml``. No code is read from it.

    data/kitchen/dataset.toml      the data set "kitchen"
                 images/           whatever dataset.toml names, here or anywhere else
                 responses.npy

The least that can be written:

    title = "Kitchens at 3 T"
    [stimuli]
    folder = "images"              images in natural order are rows, or files = "stimuli.txt" with a path a line
    [subjects.ann]
    responses = "responses.npy"    (n_rows, n_vertices), or one file each for lh and rh

docs/own_data.md shows the rest: ROIs, places on the cortex, repeats, noise ceilings.
"""

from encoding.datasets.own.dataset import OwnDataset, find_own

__all__ = ["OwnDataset", "find_own"]
