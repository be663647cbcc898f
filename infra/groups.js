// The groups of strategies of a stage, each with workers of its own: `groups` in infra/stages/<stage>.yml, as in
// infra/stages/groups-example.yml. Without it there is one, of the parameter `strategy`.
//
// What osls is given from here:
//
//   resources      worker.yml and scaling.yml for each group, further ones with the group's name as suffix
//   strategies     STRATEGIES of all groups, for the functions, which serve every account of the stage
//   names          the groups' names, for the function that compares what they count
//   partitions     the partition keys that those may write: `state`, `decisions`
//   workerRoles    the ARNs of the workers' roles
//
// tests/infra/test_groups.py holds the example to all of this.
'use strict';

const NAME = /^[a-z][a-z0-9]{0,15}(-[a-z0-9]{1,8})?$/; // in NATS, DynamoDB, and names of resources
const KNOWN = [
  'strategies', 'workersMin', 'workersMax', 'cpu', 'memory',
  'collectiveDailyLossLimitUsd', 'collectiveExposureMaxUsd',
];
// Which of a resource's properties are names in the account of AWS.
const NAMES = ['AlarmName', 'Family', 'LogGroupName', 'PolicyName'];
const REFERENCES = ['Ref', 'Fn::GetAtt', 'DependsOn'];

// Whose accounts say that they trade with it; none on paper.
async function walletOf(resolve) {
  const live = (await resolve('param:execution')) === 'live';
  return live ? (await resolve('param:wallet')).toLowerCase() : '';
}

async function groupsOf(resolve) {
  const declared = await resolve('file(infra/stages/${sls:stage}.yml):groups, null');
  if (declared === null) return [{ suffix: '', strategies: await resolve('param:strategy') }];
  return Object.entries(declared).map(([name, group], index) => ({
    ...group, name, declared: true, suffix: index ? camel(name) : '', strategies: `${group?.strategies}`,
  }));
}

function refuseWrong(groups, execution) {
  if (!groups.length) throw refusal('there is none');
  for (const { name, suffix, declared, ...said } of groups.filter((group) => group.declared)) {
    if (!NAME.test(name)) throw refusal(`${name}: a name in small letters is wanted`);
    const unknown = Object.keys(said).find((key) => !KNOWN.includes(key));
    if (unknown) throw refusal(`${name}: ${unknown} is unknown`);
    if (said.strategies === 'undefined') throw refusal(`${name}: no strategies`);
  }
  const entries = groups.flatMap((group) => entriesOf(group.strategies));
  const names = entries.map(({ account, mode = execution }) => `${account} (${mode})`);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw refusal(`${twice} is twice among the accounts`);
  const live = entries.find(({ mode }) => mode === 'live' && execution !== 'live');
  if (live) throw refusal(`${live.account}@live, but this deployment is on paper: no key is told`);
}

// One line, without the stack that osls would print.
function refusal(text) {
  return Object.assign(Error(), { message: `groups: ${text}`, stack: `groups: ${text}` });
}

// Accounts without their -paper, and whether they are `paper` or `live` if it is said, as
// functions/core/group.py reads them.
function entriesOf(strategies) {
  return strategies.split(',').map((entry) => {
    const [, account, strategy, mode] = /^(?:([^=]*)=)?(.*?)(?:@(paper|live))?$/.exec(entry.trim());
    const file = /\.py:(\w+)$/.exec(strategy);
    const words = /(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g;
    return { account: account ?? (file ? file[1].replace(words, '_').toLowerCase() : strategy), mode };
  });
}

// Of every account both names: while a stage goes live, or back, tasks of before finish their orders.
function partitionsOf(groups, wallet) {
  const served = new Set(groups.flatMap(({ strategies }) => entriesOf(strategies)).map((each) => each.account));
  const accounts = [...served].flatMap((name) => [name, `${name}-paper`]);
  return {
    state: [
      ...accounts.map((name) => `STRATEGY#${name}`),
      'GROUP#*', // of whichever group counts a claim: its account may have come from another one
      ...(wallet ? [`WALLET#${wallet}`] : []),
    ],
    decisions: accounts.map((name) => `DECISION#${name}#*`),
  };
}

// `part` as it is of one group: whatever differs from group to group is set here, and nowhere else.
function ofGroup(part, group, wallet) {
  if (!group.declared) return part;
  const own = (id) => (id in part.Resources ? id + group.suffix : id);
  const keys = partitionsOf([group], wallet);
  function walk(value, key) {
    if (key === 'Dimensions') return [...value, { Name: 'Group', Value: group.name }];
    if (key === 'dynamodb:LeadingKeys' && /^STRATEGY#/.test(value[0])) return keys.state;
    if (key === 'dynamodb:LeadingKeys' && /^DECISION#/.test(value[0])) return keys.decisions;
    if (Array.isArray(value)) return value.map((each) => walk(each, key));
    if (value instanceof Object) return mapped(value, (inner, name) => [name, walk(inner, name)]);
    if (REFERENCES.includes(key)) return own(value);
    return NAMES.includes(key) && group.suffix ? `${value}-${group.name}` : value;
  }
  const copy = { ...part };
  for (const section of ['Resources', 'Outputs']) {
    copy[section] = mapped(part[section], (inner, id) => [own(id), walk(inner)]);
  }

  const task = copy.Resources[own('WorkerTask')].Properties;
  if (group.cpu) task.Cpu = String(group.cpu);
  if (group.memory) task.Memory = String(group.memory);
  const scaling = copy.Resources[own('WorkerScaling')].Properties;
  scaling.MinCapacity = group.workersMin ?? scaling.MinCapacity;
  scaling.MaxCapacity = group.workersMax ?? scaling.MaxCapacity;
  const { Environment } = task.ContainerDefinitions[0];
  const told = {
    STRATEGIES: group.strategies,
    GROUP: group.name,
    COLLECTIVE_DAILY_LOSS_LIMIT_USD: String(group.collectiveDailyLossLimitUsd ?? ''),
    COLLECTIVE_EXPOSURE_MAX_USD: String(group.collectiveExposureMaxUsd ?? ''),
  };
  task.ContainerDefinitions[0].Environment = [
    ...Environment.filter((each) => !(each.Name in told)),
    ...Object.entries(told).map(([Name, Value]) => ({ Name, Value })),
  ];
  return copy;
}

function mapped(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => change(value, name)));
}

function camel(name) {
  return name.replace(/(?:^|-)([a-z0-9])/g, (_, first) => first.toUpperCase());
}

module.exports = {
  async resources({ resolveVariable }) {
    const groups = await groupsOf(resolveVariable);
    refuseWrong(groups, await resolveVariable('param:execution')); // here, so that osls says it once
    const wallet = await walletOf(resolveVariable);
    const [worker, scaling, alarms] = await Promise.all(
      ['worker', 'scaling', 'alarms'].map((name) => resolveVariable(`file(infra/${name}.yml)`)),
    );
    const part = { ...worker, Resources: { ...worker.Resources, ...scaling.Resources } };
    if (groups[0].declared) {
      // alarms.yml watches all groups at once, in which the books of a small one would be lost.
      const age = structuredClone(alarms.Resources.BookAgeAlarm);
      age.Properties.AlarmName += '-of-group';
      part.Resources.GroupBookAgeAlarm = age;
    }
    const parts = groups.map((group) => ofGroup(part, group, wallet));
    const ids = parts.flatMap((each) => Object.keys(each.Resources));
    const twice = ids.find((id, index) => ids.indexOf(id) !== index);
    if (twice) throw refusal(`two resources called ${twice}: call a group otherwise`);
    const all = (section) => Object.assign({}, ...parts.map((each) => each[section]));
    return { ...part, Resources: all('Resources'), Outputs: all('Outputs') };
  },

  async strategies({ resolveVariable }) {
    return (await groupsOf(resolveVariable)).map((group) => group.strategies).join(',');
  },

  async names({ resolveVariable }) {
    return (await groupsOf(resolveVariable)).map((group) => group.name ?? '').join(',');
  },

  async partitions({ resolveVariable }) {
    return partitionsOf(await groupsOf(resolveVariable), await walletOf(resolveVariable));
  },

  async workerRoles({ resolveVariable }) {
    const groups = await groupsOf(resolveVariable);
    return groups.map(({ suffix }) => ({ 'Fn::GetAtt': [`WorkerTaskRole${suffix}`, 'Arn'] }));
  },
};
