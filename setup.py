"""What pyproject.toml cannot say: the folder suites/ is installed as harness/suites/."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["algorithms*", "baselines*", "harness*"]),
        "harness.suites",
    ],
    package_dir={"harness.suites": "suites"},
)
