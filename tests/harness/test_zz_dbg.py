from tests.harness.test_online import *
from tests.harness.conftest import *
@pytest.mark.parametrize("training", [SHORT, {**SHORT,"online_steps":0}])
def test_dbg(plan_of, tmp_path, training):
    plan = plan_of(tasks=[BANDIT], algorithms={"df-div": {}, "iql": {}}, training=training, evaluation={"every": 20, "episodes": 2})
    finish(plan, seeds_per_trial=2); a = files(plan); shutil.rmtree(tmp_path / "results"); finish(plan, seeds_per_trial=1); b = files(plan)
    print([k for k in a if a[k]!=b[k]])
    for k in a:
        if a[k]!=b[k] and k.endswith("csv"):
            for x,y in zip(a[k].decode().split(),b[k].decode().split()):
                if x!=y: print(x,y)
