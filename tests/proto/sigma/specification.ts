/**
 * What the examples of Sigma's specification need of a host: their fields and log sources of other hosts, mapped as an
 * operator would.
 *
 * @module
 */

export const MAPPING = `fields:
    EventLog: cgroup_path
    EventID: pid
    TicketOptions: tty
    TicketEncryption: container_id
    Description: cwd
    PasswordLastSet: reason
    DestinationIp: script_path
    ComputerName: container_id
    WorkstationName: tty
    TargetUserName: user_name
    TargetDomainName: group_name
    fieldname: command_line
    http.response.status_code: exit_code
    event.category: name
    event.type: reason
    event.outcome: severity
    destination.ip: cwd
    source.ip: tty
logsources:
    - { product: windows, category: process_creation, events: start }
    - { product: windows, service: security, events: start }
placeholders:
    Servers: ['srv*']
    name: [alice, bob]
    Administrators: [root, 'adm_*']
    JumpServers: [jump1]
    Workstations: ['ws-*']
    DomainControllers: [dc1, dc2]
`;
