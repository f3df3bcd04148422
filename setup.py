"""What pyproject.toml cannot say: folders that are installed under another name.

suites/ becomes harness/suites/, and results/published/ becomes harness/published/shipped/.
"""

from setuptools import find_packages, setup

FOLDERS = {"harness.suites": "suites", "harness.published.shipped": "results/published"}

setup(
    packages=[
        *find_packages(include=["algorithms*", "baselines*", "harness*"]),
        *FOLDERS,
    ],
    package_dir=FOLDERS,
)
