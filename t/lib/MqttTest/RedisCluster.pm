package MqttTest::RedisCluster;

# Copyright (C) ngx_mqtt_module authors

# A Redis Cluster of the test's own, used like MqttTest::Redis.
#
#     $r = MqttTest::RedisCluster->new(dir => $dir, primaries => 3,
#                                      replicas => 1, timeout => 1000);
#     $r->address                 of the primaries, as the directive wants it
#     $r->nodes                   each a MqttTest::Redis; first the primaries
#     $r->command('HGET', ...)    asks the node that has the key; commands
#                                 without a key are for all nodes: lists are
#                                 joined, otherwise the last reply
#     $r->keys, $r->info          of all primaries; numbers are summed
#     $r->slot($key)
#     $r->owner($slot)            the node that serves it
#     $r->replicas_of($node)
#     $r->pause, resume, kill, stop, start
#                                 all nodes; one that was killed starts empty
#                                 and in its old place
#     $r->move_begin($slot, $to), $r->move_keys($slot, $to, $n),
#     $r->move_end($slot, $to)    one step of a migration each

use warnings;
use strict;

use MqttTest::Redis;
use MqttTest::Util qw/ wait_for free_port slow /;


my %keyless = map { $_ => 1 } qw/
    ACL CLIENT CLUSTER COMMAND CONFIG DBSIZE DEBUG FLUSHALL FLUSHDB INFO KEYS
    MULTI PING ROLE SCRIPT TIME WAIT
/;


sub new {
    my ($class, %args) = @_;

    my $self = bless {
        primaries => 3,
        replicas  => 0,
        timeout   => 1000,
        args      => [],
        password  => undef,
        %args,
    }, $class;

    my $n = $self->{primaries} * (1 + $self->{replicas});

    $self->{nodes} = [ map { $self->start_node($_) } 1 .. $n ];
    $self->form;

    return $self;
}


sub start_node {
    my ($self, $i) = @_;

    my $dir = "$self->{dir}/redis$i";
    mkdir $dir or die "$dir: $!\n";

    my $bus = free_port();

    return MqttTest::Redis->new_single(
        dir      => $dir,
        password => $self->{password},
        bus      => $bus,
        args     => [
            '--cluster-enabled', 'yes', '--cluster-port', $bus,
            '--cluster-config-file', "$dir/nodes.conf",
            '--cluster-node-timeout', slow($self->{timeout}),
            '--cluster-require-full-coverage', 'no',
            '--cluster-allow-replica-migration', 'no',
            '--cluster-replica-validity-factor', 0,
            '--repl-diskless-sync-delay', 0,
            @{ $self->{args} },
        ],
    );
}


sub form {
    my ($self) = @_;

    my @nodes = $self->nodes;
    my @primaries = $self->primaries;
    my $n = @primaries;

    for my $i (0 .. $n - 1) {
        $primaries[$i]->command('CLUSTER', 'ADDSLOTSRANGE',
                                int(16384 * $i / $n),
                                int(16384 * ($i + 1) / $n) - 1);
        $primaries[$i]->command('CLUSTER', 'SET-CONFIG-EPOCH', $i + 1);
    }

    $nodes[0]->command('CLUSTER', 'MEET', '127.0.0.1', $_->port, $_->{bus})
        for @nodes[1 .. $#nodes];

    wait_for {
        !grep { known($_) != @nodes } @nodes
    } 20 or die "the nodes of the cluster do not know each other\n";

    for my $i ($n .. $#nodes) {
        my $id = $primaries[($i - $n) % $n]->command('CLUSTER', 'MYID');

        wait_for { eval { $nodes[$i]->command('CLUSTER', 'REPLICATE', $id) } }
            or die "no replica: $@";
    }

    wait_for {
        !grep { !complete($_) } @nodes
    } 20 or die "the cluster is not complete\n";

    $self->wait_replicas or die "no replicas\n";
}


sub known {
    my ($node) = @_;

    return scalar(() = $node->command('CLUSTER', 'NODES')
                       =~ /^\S+ \S+ \S*(?:master|slave)\S* .* connected/mg)
           - scalar(() = $node->command('CLUSTER', 'NODES') =~ /handshake/g);
}


sub complete {
    my ($node) = @_;

    my $info = $node->command('CLUSTER', 'INFO');

    return $info =~ /cluster_state:ok/ && $info =~ /slots_assigned:16384/
           && $info =~ /slots_ok:16384/;
}


# each primary has as many replicas as it is to have

sub wait_replicas {
    my ($self) = @_;

    return !grep { !$_->wait_replicas($self->{replicas}) } $self->primaries;
}


sub nodes { return @{ $_[0]{nodes} } }


# those of the beginning

sub primaries {
    my ($self) = @_;

    return @{ $self->{nodes} }[0 .. $self->{primaries} - 1];
}


sub address {
    my ($self) = @_;

    return join ' ', map({ $_->address } $self->primaries),
                     $self->{parameters} // ();
}


sub port    { return $_[0]{nodes}[0]->port }
sub pid     { return $_[0]{nodes}[0]->pid }


sub pause  { $_->pause for $_[0]->nodes; return 1 }
sub resume { $_->resume for $_[0]->nodes; return 1 }
sub kill   { $_->kill for $_[0]->nodes; return 1 }
sub stop   { $_->stop for $_[0]->nodes; return 1 }


sub start {
    my ($self) = @_;

    $_->start for $self->nodes;

    wait_for {
        !grep { !complete($_) } $self->nodes
    } 20 or die "the cluster has not come back\n";

    return $self;
}


###############################################################################
# slots


sub slot {
    my ($self, $key) = @_;

    my ($tag) = $key =~ /^[^{]*\{([^}]+)\}/;

    my $crc = 0;

    for my $byte (unpack 'C*', $tag // $key) {
        $crc ^= $byte << 8;

        for (1 .. 8) {
            $crc = ($crc << 1 ^ ($crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
        }
    }

    return $crc % 16384;
}


sub by_port {
    my ($self, $port) = @_;

    my ($node) = grep { $_->port == $port } $self->nodes;

    return $node // die "no node has port $port\n";
}


sub owner {
    my ($self, $slot) = @_;

    for my $node (grep { $_->connected } $self->nodes) {
        for my $range (@{ $node->command('CLUSTER', 'SLOTS') }) {
            return $self->by_port($range->[2][1])
                if $slot >= $range->[0] && $slot <= $range->[1];
        }
    }

    die "nobody serves slot $slot\n";
}


sub replicas_of {
    my ($self, $node) = @_;

    my %info = $node->info('replication');

    return map { $info{$_} =~ /port=(\d+)/ ? $self->by_port($1) : () }
           grep { /^slave\d+$/ } sort keys %info;
}


sub move_begin {
    my ($self, $slot, $to) = @_;

    my $from = $self->owner($slot);

    $to->command('CLUSTER', 'SETSLOT', $slot, 'IMPORTING',
                 $from->command('CLUSTER', 'MYID'));
    $from->command('CLUSTER', 'SETSLOT', $slot, 'MIGRATING',
                   $to->command('CLUSTER', 'MYID'));

    return $from;
}


sub move_keys {
    my ($self, $from, $slot, $to, $n) = @_;

    my $moved = 0;

    while (my @keys = @{ $from->command('CLUSTER', 'GETKEYSINSLOT', $slot,
                                        $n // 100) })
    {
        $from->command('MIGRATE', '127.0.0.1', $to->port, '', 0, 5000,
                       'KEYS', @keys);
        $moved += @keys;

        last if $n;
    }

    return $moved;
}


sub move_end {
    my ($self, $from, $slot, $to) = @_;

    my $id = $to->command('CLUSTER', 'MYID');

    $self->move_keys($from, $slot, $to);

    $_->command('CLUSTER', 'SETSLOT', $slot, 'NODE', $id) for $to, $from;
}


###############################################################################
# the client


sub command {
    my ($self, @args) = @_;

    if ($keyless{uc $args[0]}) {
        my @replies = map { scalar $_->command(@args) } $self->primaries;

        return ref $replies[0] eq 'ARRAY' ? [ map { @$_ } @replies ]
                                          : $replies[-1];
    }

    my $key = $args[1];
    my ($streams) = grep { uc $args[$_] eq 'STREAMS' } 0 .. $#args;

    $key = $args[$streams + 1] if defined $streams;
    $key = $args[3] if $args[0] =~ /^EVAL/i;

    my $node = $self->owner($self->slot($key));

    for (1 .. 10) {
        my $reply = eval { $node->command(@args) };

        return $reply if !$@;

        my ($port) = $@ =~ /^MOVED \d+ \S*:(\d+)/ or die $@;

        $node = $self->by_port($port);
    }

    die "MOVED again and again\n";
}


sub keys {
    my ($self, $pattern) = @_;

    my @keys = sort map { $_->keys($pattern) } grep { primary($_) }
                    $self->nodes;

    return @keys;
}


sub primary {
    my ($node) = @_;

    return $node->connected && $node->command('ROLE')->[0] eq 'master';
}


sub info {
    my ($self, $section) = @_;

    my %sum;

    for my $node (grep { primary($_) } $self->nodes) {
        my %info = $node->info($section);

        for my $name (CORE::keys %info) {
            my $value = $info{$name};

            if ($value =~ /^calls=(\d+)/) {
                my ($calls) = ($sum{$name} // 'calls=0') =~ /calls=(\d+)/;
                $value = 'calls=' . ($calls + $1);

            } elsif ($value =~ /^\d+$/) {
                $value += $sum{$name} // 0;
            }

            $sum{$name} = $value;
        }
    }

    return %sum;
}


1;
