"""Glossary of terms and ROIs on the pages, in a sentence or two each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import streamlit as st

from encoding.runtime.registry import UnknownName, unknown
from pages.parts.shared.fragment import fragment

TERMS: Mapping[str, str] = {
    "alpha": "The strength of a penalty on weights. 0 is least squares; large values shrink all weights towards 0.",
    "backbone": "The vision network, or filter bank, that turns an image into numbers. A fit leaves it as it is, unless it is finetuned.",
    "banded ridge": "Ridge regression with a penalty of its own for each layer, so that layers which do not help are shrunk away.",
    "bootstrap": "Drawing the test images again with replacement, many times, to see how much a score would differ with other images.",
    "ceiling": "See noise ceiling.",
    "component": "A direction of largest variance among the features (PCA), found on training images alone.",
    "cross-validation": "Leaving out parts of the images in turn and predicting them from the rest: within the training images to choose a "
    "parameter such as alpha, over all images to test each of them once.",
    "CKA": "Centred kernel alignment: how alike the similarities between images are by two sets of features or responses, from 0 to 1.",
    "circular selection": "Choosing vertices, or a model, by the same data that then give the score: the score is too high.",
    "confidence interval": "A range of values that the data are compatible with: of intervals made in this way, 95 % hold the true value.",
    "dropout": "Setting a random share of a network's units to 0 in each training step, against overfitting.",
    "embedding": "The vector that a network makes of a whole image.",
    "encoding model": "A model that predicts the brain's response from the stimulus. (A decoding model goes the other way.)",
    "epoch": "One pass over all training images while a network is trained.",
    "extra subjects": "Additional subjects in multi-subject training: a shared trunk and one linear head for each subject.",
    "false discovery rate": "The share of false findings among all that are called findings, as it is expected on average.",
    "feature": "One number that a layer gives for an image: the activation of one unit.",
    "fMRI": "Functional magnetic resonance imaging: blood oxygen, a slow echo of neural activity, in cubes of 1 to 3 mm.",
    "fold": "One of several ways to divide images into those that train and those that test.",
    "fsaverage": "A surface averaged over 40 people (FreeSurfer), on which cortices of different people can be laid over one another.",
    "Gabor energy": "How strong edges of one direction and frequency are at a place, whatever their phase: the root of the summed squares "
    "of two Gabor filters a quarter of a cycle apart.",
    "GPU": "The graphics processor that trains and runs networks faster; without one the CPU does the same work.",
    "highest r": "The root of the noise ceiling: the highest correlation that noise leaves possible.",
    "hemisphere": "One half of the brain. Each sees the opposite half of the visual field first.",
    "hierarchy index": "The rank correlation, over regions, of the best layer with the stage in the cortex: 1 where later layers predict "
    "later regions best.",
    "interval": "See confidence interval.",
    "layer": "One stage of a network. Early layers see edges and colours in small parts of the image, late layers see objects.",
    "leakage": "When something of the test images reaches the model before the test. Scores rise, and mean nothing.",
    "learning curve": "The score against the number of training images, or the loss against epochs.",
    "learning rate": "The step size of gradient descent: how far weights move along the gradient in one step.",
    "MAE": "Mean absolute error, in the unit of the responses.",
    "noise ceiling": "The share of a response's variance that is signal, and so the highest R² that noise leaves possible. It is estimated "
    "from repeats: what two showings of one image share.",
    "overfitting": "Learning the noise of the training images: good on them, bad on new ones.",
    "partial least squares": "Directions of the features that covary most with all responses at once.",
    "p": "How often a result at least this large would come about by chance if there were no effect; not how likely it is that there is "
    "none.",
    "permutation test": "Comparing a score with those of many shuffled orders of the test images, in which any relation is chance.",
    "product measure": "A way to divide R² among layers so that the shares add up to it.",
    "q": "The p of a test after correction for the number of tests: the lowest false discovery rate at which it still counts as a finding.",
    "r": "Pearson's correlation of predicted with measured responses over test images: 1 is perfect, 0 is chance.",
    "readout": "The regression from components to responses, such as ridge.",
    "receptive field": "The part of the visual field that a neuron, a unit or a vertex responds to.",
    "residual": "What is left: the measured response less the predicted one.",
    "response": "How strongly a vertex answers to an image, in standard deviations over images unless said otherwise.",
    "retinotopy": "Neighbours in the visual field are neighbours on the cortex.",
    "ridge": "Least squares with a penalty on the squared weights: the field's usual readout.",
    "RMSE": "Root of the mean squared error, in the unit of the responses.",
    "ROI": "Region of interest: a named group of vertices or voxels, found by an experiment of its own.",
    "RSA": "Representational similarity analysis: it asks whether model and brain find the same images alike.",
    "R²": "The share of variance that a prediction explains: 1 is perfect, 0 is as good as the mean, below 0 is worse.",
    "simple and complex cell": "Two kinds of neuron in V1. A simple cell answers to an edge of one direction, with its light and dark "
    "sides at one place; a complex cell answers to it wherever in its receptive field it lies.",
    "smooth L1": "Half the squared error where it is small, the absolute error less a half where it is large.",
    "split": "Which images train and which test.",
    "stimulus": "What was shown: an image or a clip.",
    "target groups": "The groups of vertices or voxels that share one model: a hemisphere, both, or one ROI at a time.",
    "variance partitioning": "Dividing the variance that several feature spaces explain into what only one of them explains and what they "
    "share.",
    "vertex": "A point of the cortical surface, with the response measured there.",
    "voxel": "A cube of the scanned volume, with the response measured there.",
    "weight decay": "A penalty on the squared weights of a network, which shrinks them in every training step.",
}

REGIONS: Mapping[str, str] = {
    "V1": "Primary visual cortex: edges, in small receptive fields; the map of the visual field is finest here.",
    "V2": "Second visual area, around V1: contours and textures.",
    "V3": "Third visual area, around V2: larger receptive fields, form and motion.",
    "V4": "Fourth visual area, below: curvature, colour and parts of objects.",
    "hV4": "Human V4, on the ventral surface: curvature, colour and parts of objects.",
    "EBA": "Extrastriate body area, on the lateral surface: bodies and body parts.",
    "FBA-1": "Fusiform body area, posterior patch: bodies.",
    "FBA-2": "Fusiform body area, anterior patch: bodies.",
    "mTL-bodies": "A patch for bodies in the mid temporal lobe.",
    "OFA": "Occipital face area: parts of faces.",
    "FFA": "Fusiform face area: faces.",
    "FFA-1": "Fusiform face area, posterior patch: faces.",
    "FFA-2": "Fusiform face area, anterior patch: faces.",
    "mTL-faces": "A patch for faces in the mid temporal lobe.",
    "aTL-faces": "A patch for faces in the anterior temporal lobe: who it is.",
    "STS": "Superior temporal sulcus: moving faces and bodies, what people are doing.",
    "LOC": "Lateral occipital complex: the shape of objects.",
    "OPA": "Occipital place area: the layout of the scene around us.",
    "PPA": "Parahippocampal place area: places and scenes.",
    "RSC": "Retrosplenial cortex: where a place is, among other places.",
    "OWFA": "Occipital word form area: written words and letters.",
    "VWFA-1": "Visual word form area, posterior patch: written words.",
    "VWFA-2": "Visual word form area, anterior patch: written words.",
    "mfs-words": "A patch for words in the mid fusiform sulcus.",
    "mTL-words": "A patch for words in the mid temporal lobe.",
    "early": "The early visual stream: V1, V2, V3 and their neighbours.",
    "midventral": "The beginning of the ventral stream, towards what things are.",
    "midlateral": "The beginning of the lateral stream, towards people and actions.",
    "midparietal": "The beginning of the parietal stream, towards where things are and how to act on them.",
    "ventral": "The ventral stream: what things are.",
    "lateral": "The lateral stream: people, actions and social scenes.",
    "parietal": "The parietal stream: where things are and how to act on them.",
    "WB": "Every voxel of the whole brain that answered reliably.",
    "all": "Every vertex, or voxel, that was recorded.",
}
HALVES = {"v": "Its lower bank (ventral) sees the upper half of the visual field.", "d": "Its upper bank (dorsal) sees the lower half."}


def explain(word: str) -> str:
    """Explain a term or an ROI.

    >>> explain("V2d").split(":")[0]
    'Second visual area, around V1'

    Raises
    ------
    UnknownName with the nearest word that is explained.
    """
    text = TERMS.get(word) or REGIONS.get(word)
    if text is None and word[:-1] in REGIONS and word[-1] in HALVES:
        text = f"{REGIONS[word[:-1]]} {HALVES[word[-1]]}"
    if text is None:
        raise UnknownName(unknown("word", word, [*TERMS, *REGIONS]))
    return text


def explained(word: str) -> str:
    """Explain a term or an ROI; empty where it is not in the glossary."""
    try:
        return explain(word)
    except UnknownName:
        return ""


def in_words(rois: Iterable[str]) -> dict[str, str]:
    """Names of ROIs in words, of those that are in the glossary.

    >>> in_words(["PPA", "V1d", "lab"])
    {'PPA': 'Parahippocampal place area', 'V1d': 'Primary visual cortex, dorsal'}
    """
    halves = {f"{area}{half}": f", {name}" for area in REGIONS for half, name in (("v", "ventral"), ("d", "dorsal"))}
    return {roi: explained(roi).partition(":")[0].rstrip(".") + halves.get(roi, "") for roi in rois if explained(roi)}


@fragment()
def glossary() -> None:
    """Popover with every term and region, a menu that finds one by its first letters."""
    with st.popover("Glossary", key="glossary", type="tertiary", icon=":material/menu_book:", on_change="rerun") as shown:
        if not shown.open:
            return
        words = sorted([*TERMS, *REGIONS], key=str.lower)
        word = st.selectbox("Word or region", words, index=None, key="glossary_word", placeholder="Type one, or look below")
        with st.container(height=360 if word is None else "content", border=False):
            st.markdown("\n\n".join(f"**{each}** {explain(each)}" for each in ([word] if word else words)))
